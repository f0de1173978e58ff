"""Google Sheets, through gspread's HTTP client: one spreadsheet, each method one request.

What gspread does not do by itself and this module makes sure of: all processes together stay within Google's limits, a
pause that Google asks for is kept by all of them, a write whose answer was lost is told from one that failed, and an
error says which and what to do, without a word of what is in the cells.
"""

import random
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar, cast

import orjson

from cdp_platform.errors import ConfigurationError, OutcomeUnknownError
from cdp_platform.resources.google_account import service_account
from cdp_platform.resources.google_errors import RefusedError, Target, UnusableAnswerError, explained
from cdp_platform.settings import GoogleSettings

if TYPE_CHECKING:
    from gspread.http_client import HTTPClient
    from requests import Response, Session

T = TypeVar("T")
Cell: TypeAlias = str | int | float | bool | None
Kind: TypeAlias = Literal["reads", "writes"]

GOOGLE = "https://sheets.googleapis.com"
# Google's limit for one user of one project, by seconds; reads and writes are counted apart.
LIMITS = {60: 60}

_SCOPE = "https://www.googleapis.com/auth/spreadsheets"
_SPREADSHEET_ID = re.compile(r"[\w-]+", re.ASCII)


class Gate(Protocol):
    """Keeps all processes together within the limits of an account; `cdp_platform.ops.gate.Gate`."""

    def take(self, turns: int = 1, *, wait_seconds: float) -> None:
        """Come back when the next call may be made. Raises PacedError or UnavailableError if that is too far away."""

    def rest(self, seconds: float, reason: str = "") -> None:
        """Let no process make its next call sooner than in so many seconds."""

    def failed(self, reason: str) -> None:
        """The account's server failed by itself."""

    def answered(self) -> None:
        """The account's server answered."""


OpenGate: TypeAlias = Callable[[str, Mapping[int, int]], Gate]
"""The gate of a name, with turns by length of the window in seconds."""


@dataclass(frozen=True)
class Patience:
    """How long a request waits, in seconds.

    Attributes:
        connect: For a connection.
        answer: For the next bytes of an answer. Google gives up after three minutes itself.
        attempts: Including the first. With the default pauses they outlast a minute, after which a limit is fresh.
        pauses: All that it waits between attempts. Turns that others have first are not counted.
        turn: For a turn at the account's gate.
        backoff: The first pause is between this and twice as much, and each further one about twice as long.
    """

    connect: float = 5.0
    answer: float = 180.0
    attempts: int = 7
    pauses: float = 120.0
    backoff: float = 1.0
    turn: float = 600.0


@dataclass(frozen=True)
class SheetInfo:
    """One worksheet. ``rows`` and ``columns`` are those of its grid, filled or not; 0 where it is a chart."""

    sheet_id: int
    title: str
    index: int
    hidden: bool
    rows: int
    columns: int


@dataclass
class Requests:
    """What was sent so far, each attempt counted."""

    reads: int = 0
    writes: int = 0


class Spreadsheet:
    """One spreadsheet as the service account sees it.

    Every method sends one request, again after trouble that passes, and takes a turn for each time that it sends it.

    Attributes:
        spreadsheet_id: As in its address.
        url: Its address for people.
        account: E-mail address of the service account, with which the spreadsheet has to be shared.
        requests: What was sent so far.
    """

    def __init__(
        self,
        client: "HTTPClient",
        spreadsheet_id: str,
        *,
        url: str,
        account: str,
        gate: OpenGate,
        patience: Patience,
    ) -> None:
        self.spreadsheet_id = spreadsheet_id
        self.url = url
        self.account = account
        self.requests = Requests()
        self._client = client
        self._gates = {kind: gate(f"google-sheets {account} {kind}", LIMITS) for kind in ("reads", "writes")}
        self._patience = patience
        self._target = Target(spreadsheet_id, url, account)

    def sheets(self) -> list[SheetInfo]:
        """The worksheets in their order, hidden ones too."""

        def read() -> list[SheetInfo]:
            answer = self._client.spreadsheets_get(self.spreadsheet_id, params={"fields": "sheets.properties"})
            return [_sheet_info(sheet.get("properties", {})) for sheet in _listed(answer, "sheets")]

        return self._call("reads", read)

    def values(self, ranges: Sequence[str]) -> list[list[list[Any]]]:
        """The rows of each range (A1 notation, one at least): numbers as numbers, dates as Google's day numbers.

        Empty cells at the end of a row and empty rows at the end of a range are left out.
        """
        options = {"valueRenderOption": "UNFORMATTED_VALUE", "majorDimension": "ROWS"}

        def read() -> list[list[list[Any]]]:
            answer = self._client.values_batch_get(self.spreadsheet_id, list(ranges), params={**options})
            return [found.get("values", []) for found in _listed(answer, "valueRanges", len(ranges))]

        return self._call("reads", read)

    def write(self, data: Sequence[tuple[str, Sequence[Sequence[Cell]]]]) -> None:
        """Write rows at ranges (A1 notation, one at least), all or none: each text stays the text that it is.

        None leaves a cell as it is; an empty text empties it. It is sent again after a lost answer: the same values at
        the same places are the same.
        """
        ranges = [{"range": at, "majorDimension": "ROWS", "values": rows} for at, rows in data]

        def send() -> None:
            body = {"valueInputOption": "RAW", "data": ranges}
            _listed(self._client.values_batch_update(self.spreadsheet_id, body), "responses", len(ranges))

        self._call("writes", send, cells=lambda: _texts([rows for _, rows in data]))

    def change(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Make changes (`Request` objects of batchUpdate, one at least), all or none; returns the reply to each.

        Raises:
            OutcomeUnknownError: they were sent, and no answer came. Not sent again: that could make them twice.
        """

        def send() -> list[dict[str, Any]]:
            answer = self._client.batch_update(self.spreadsheet_id, {"requests": list(requests)})
            return _listed(answer, "replies", len(requests))

        return self._call("writes", send, repeatable=False, cells=lambda: _texts(requests))

    def _call(
        self,
        kind: Kind,
        send: Callable[[], T],
        *,
        repeatable: bool = True,
        cells: Callable[[], Iterable[str]] = tuple,
    ) -> T:
        gate, patience, paused = self._gates[kind], self._patience, 0.0
        for number in range(patience.attempts):
            gate.take(wait_seconds=patience.turn)
            setattr(self.requests, kind, getattr(self.requests, kind) + 1)
            try:
                answer = send()
            except Exception as error:
                trouble = explained(error, self._target, cells)
                if trouble is None:
                    raise
            else:
                gate.answered()
                return answer
            # No error keeps the client's as its cause: that has the request, and with it the cells.
            if trouble.perhaps_done and not repeatable:
                gate.failed(str(trouble.error))
                raise OutcomeUnknownError(
                    f"{trouble.error} Whether the spreadsheet was changed is not known; it has to be asked."
                )
            pause = max(trouble.pause, patience.backoff * (2**number + random.random()))  # noqa: S311
            if trouble.for_all:
                # No longer than this caller would wait itself: later ones are told anew.
                gate.rest(min(pause, patience.pauses), str(trouble.error))
            if not trouble.passing or number + 1 == patience.attempts or paused + pause > patience.pauses:
                if trouble.passing and not trouble.for_all:
                    gate.failed(str(trouble.error))
                raise trouble.error
            paused += pause
            if not trouble.for_all:
                time.sleep(pause)
        raise AssertionError("a call makes at least one attempt")


@contextmanager
def open_spreadsheet(
    settings: GoogleSettings, spreadsheet_id: str, *, gate: OpenGate, patience: Patience | None = None
) -> Generator[Spreadsheet]:
    """A spreadsheet, ready to be read and written. Nothing is sent before the first call.

    Raises:
        ConfigurationError: GOOGLE_SERVICE_ACCOUNT_JSON is no key, or the id is none.
    """
    patience = patience or Patience()
    if not _SPREADSHEET_ID.fullmatch(spreadsheet_id):
        raise ConfigurationError(
            f"{spreadsheet_id!r} is no spreadsheet's id. Set google_sheet_id of the tenant, or GOOGLE_SHEET_ID, "
            "to the part of its address between /d/ and /edit."
        )
    key = service_account(settings.google_service_account_json.get_secret_value())
    base = settings.google_sheets_url.rstrip("/")
    people = "https://docs.google.com/spreadsheets" if base == GOOGLE else base
    with _session(key) as session:
        yield Spreadsheet(
            _http_client(session, base, patience),
            spreadsheet_id,
            url=f"{people}/d/{spreadsheet_id}/edit",
            account=key["client_email"],
            gate=gate,
            patience=patience,
        )


def _session(key: Mapping[str, Any]) -> "Session":
    from google.auth.credentials import Credentials  # noqa: PLC0415
    from google.auth.exceptions import RefreshError  # noqa: PLC0415
    from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415
    from google.oauth2.service_account import Credentials as ServiceAccount  # noqa: PLC0415

    account = ServiceAccount.from_service_account_info(key, scopes=[_SCOPE])

    class Token(Credentials):
        """The service account's token and nothing more.

        Its own class also asks iamcredentials.googleapis.com, in a thread, which regions the account may use.
        """

        def refresh(self, request: Any) -> None:
            try:
                account.refresh(request)
            # google-auth on a success that is no token, as of a page.
            except (TypeError, AttributeError, ValueError):
                raise RefreshError("no token in the answer") from None
            self.token, self.expiry = account.token, account.expiry

    # One more login where a token is not taken, as after it was revoked.
    return AuthorizedSession(Token(), max_refresh_attempts=1)


def _http_client(session: "Session", base: str, patience: Patience) -> "HTTPClient":
    from gspread.http_client import HTTPClient  # noqa: PLC0415 (heavy; definitions load without it)

    class SheetsClient(HTTPClient):
        """Sends to the address that is set, JSON as UTF-8, and keeps what a refusal has in its headers."""

        def request(  # noqa: PLR0917 (gspread's signature)
            self,
            method: str,
            endpoint: str,
            params: Any = None,
            data: bytes | None = None,
            json: Mapping[str, Any] | None = None,
            files: Any = None,
            headers: Any = None,
        ) -> "Response":
            response = self.session.request(
                method,
                base + endpoint.removeprefix(GOOGLE),
                params=params,
                data=data if json is None else orjson.dumps(json),
                files=files,
                headers=headers if json is None else {"Content-Type": "application/json"},
                timeout=(patience.connect, patience.answer),
                # To another address a write would go as a read.
                allow_redirects=False,
            )
            if not response.ok:
                raise RefusedError(response)
            return response

    return SheetsClient(cast("Any", None), session)


def _listed(answer: Any, name: str, count: int | None = None) -> list[dict[str, Any]]:
    """The list of this name in an answer, which has one item for each that was asked for."""
    found = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UnusableAnswerError(f"no {name} in it")
    if count is not None and len(found) != count:
        raise UnusableAnswerError(f"{len(found)} {name} for {count}")
    return found


def _sheet_info(properties: Mapping[str, Any]) -> SheetInfo:
    grid = properties.get("gridProperties", {})
    return SheetInfo(
        sheet_id=properties.get("sheetId", 0),
        title=properties.get("title", ""),
        index=properties.get("index", 0),
        hidden=properties.get("hidden", False),
        rows=grid.get("rowCount", 0),
        columns=grid.get("columnCount", 0),
    )


def _texts(value: Any) -> Iterator[str]:
    """Every text in rows, or in the cells of changes."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(inner, str) or name == "stringValue":
                yield from _texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)
