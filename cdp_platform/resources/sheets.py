"""Google Sheets, through gspread's HTTP client: one spreadsheet, each method one request.

This module adds what gspread lacks: all processes together stay within Google's limits and keep the pauses that Google
asks for, a write whose answer was lost has another error than one that failed, and errors say what to do and never
quote cells.
"""

import random
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar, cast

import orjson

from cdp_platform.errors import ConfigurationError, OutcomeUnknownError, PacedError, UnavailableError
from cdp_platform.resources.google_account import service_account
from cdp_platform.resources.google_errors import FailedAnswerError, SpreadsheetCall, UnusableAnswerError, explained
from cdp_platform.settings import GoogleSettings

if TYPE_CHECKING:
    from gspread.http_client import HTTPClient
    from requests import Response, Session

T = TypeVar("T")
Cell: TypeAlias = str | int | float | bool | None
Kind: TypeAlias = Literal["reads", "writes"]

GOOGLE = "https://sheets.googleapis.com"
# Google's limit for one user of one project: turns by window in seconds. Reads and writes are counted separately.
TURNS = {60: 60}

_SCOPE = "https://www.googleapis.com/auth/spreadsheets"
_SPREADSHEET_ID = re.compile(r"[\w-]+", re.ASCII)


class Gate(Protocol):
    """Keeps all processes together within the limits of an account, as `cdp_platform.ops.gate.Gate` does."""

    def take(self, turns: int = 1, *, wait_seconds: float) -> None:
        """Wait until the next call may be made. Raises PacedError or UnavailableError if that is too far away."""

    def rest(self, seconds: float, reason: str = "") -> None:
        """Let no process make its next call before this number of seconds has passed."""

    def failed(self, reason: str) -> None:
        """Count a failure of the server."""

    def answered(self) -> None:
        """Note that the server answered, be it with a refusal."""


OpenGate: TypeAlias = Callable[[str, Mapping[int, int]], Gate]
"""Makes the gate of a name, with turns by length of the window in seconds."""


@dataclass(frozen=True)
class RequestLimits:
    """How long a request waits, and how often it is sent.

    Attributes:
        connect_seconds: for a connection.
        answer_seconds: for the next bytes of an answer. Google itself gives up after three minutes.
        attempts: including the first. With the default pauses they last longer than the minute of Google's limit.
        pause_seconds: the sum of all pauses between attempts, without waits for turns.
        backoff_seconds: the first pause is between this and twice as much; each further one is about twice as long.
        turn_seconds: for a turn at the account's gate.
    """

    connect_seconds: float = 5.0
    answer_seconds: float = 180.0
    attempts: int = 7
    pause_seconds: float = 120.0
    backoff_seconds: float = 1.0
    turn_seconds: float = 600.0


@dataclass(frozen=True)
class SheetInfo:
    """One tab. ``rows`` and ``columns`` are the size of its grid, empty cells included; 0 if it is a chart."""

    sheet_id: int
    title: str
    index: int
    hidden: bool
    rows: int
    columns: int


@dataclass
class Requests:
    """The number of requests that were sent; every attempt counts."""

    reads: int = 0
    writes: int = 0


class Spreadsheet:
    """One spreadsheet as the service account sees it.

    Every method sends one request and repeats it after errors that may pass. Each attempt takes a turn.

    Attributes:
        spreadsheet_id: as in its address.
        url: its address for people.
        account: e-mail address of the service account, with which the spreadsheet has to be shared.
        requests: what was sent so far.
    """

    def __init__(
        self,
        client: "HTTPClient",
        spreadsheet_id: str,
        *,
        url: str,
        account: str,
        gate: OpenGate,
        limits: RequestLimits,
    ) -> None:
        self.spreadsheet_id = spreadsheet_id
        self.url = url
        self.account = account
        self.requests = Requests()
        self._client = client
        self._gates = {kind: gate(f"google-sheets {account} {kind}", TURNS) for kind in ("reads", "writes")}
        self._limits = limits

    def sheets(self) -> list[SheetInfo]:
        """The tabs in their order, hidden ones included."""

        def read() -> list[SheetInfo]:
            answer = self._client.spreadsheets_get(self.spreadsheet_id, params={"fields": "sheets.properties"})
            return [_sheet_info(sheet.get("properties", {})) for sheet in _listed(answer, "sheets")]

        return self._call("reads", read)

    def values(self, ranges: Sequence[str]) -> list[list[list[Any]]]:
        """The rows of each range (A1 notation, at least one): numbers as numbers, dates as Google's day numbers.

        Empty cells at the end of a row and empty rows at the end of a range are left out.
        """
        options = {"valueRenderOption": "UNFORMATTED_VALUE", "majorDimension": "ROWS"}

        def read() -> list[list[list[Any]]]:
            answer = self._client.values_batch_get(self.spreadsheet_id, list(ranges), params={**options})
            return [found.get("values", []) for found in _listed(answer, "valueRanges", len(ranges))]

        return self._call("reads", read)

    def write(self, data: Sequence[tuple[str, Sequence[Sequence[Cell]]]]) -> None:
        """Write rows at ranges (A1 notation, at least one), all or none. A text is never taken for a formula or number.

        None leaves a cell unchanged; an empty text empties it. The request is repeated after a lost answer, since
        writing the same values twice changes nothing.
        """
        ranges = [{"range": at, "majorDimension": "ROWS", "values": rows} for at, rows in data]

        def send() -> None:
            body = {"valueInputOption": "RAW", "data": ranges}
            _listed(self._client.values_batch_update(self.spreadsheet_id, body), "responses", len(ranges))

        self._call("writes", send, cells=lambda: _texts([rows for _, rows in data]))

    def change(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Make changes (`Request` objects of batchUpdate, at least one), all or none; returns the reply to each.

        Raises:
            OutcomeUnknownError: they were sent, and no answer came. They are not repeated: that could make them twice.
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
        call = SpreadsheetCall(self.spreadsheet_id, self.url, self.account, repeatable, cells)
        gate, limits, paused = self._gates[kind], self._limits, 0.0
        for number in range(limits.attempts):
            gate.take(wait_seconds=limits.turn_seconds)
            setattr(self.requests, kind, getattr(self.requests, kind) + 1)
            try:
                answer = send()
            except Exception as raised:
                error = explained(raised, call)
                if error is None:
                    raise
            else:
                gate.answered()
                return answer
            # Errors are raised here, without the client's exception as their cause: it has the request with the cells.
            if not isinstance(error, PacedError | UnavailableError):
                if isinstance(error, OutcomeUnknownError):
                    gate.failed(str(error))
                else:
                    gate.answered()
                raise error
            backoff = limits.backoff_seconds * (2**number + random.random())  # noqa: S311
            pause = max(error.retry_after_seconds or 0.0, backoff)
            paced = isinstance(error, PacedError)
            if paced:
                # Not longer than this caller would wait itself; Google tells later callers again.
                gate.rest(min(pause, limits.pause_seconds), str(error))
            if number + 1 == limits.attempts or paused + pause > limits.pause_seconds:
                if not paced:
                    gate.failed(str(error))
                raise error
            paused += pause
            if not paced:
                time.sleep(pause)
        raise AssertionError("a call makes at least one attempt")


@contextmanager
def open_spreadsheet(
    settings: GoogleSettings, spreadsheet_id: str, *, gate: OpenGate, limits: RequestLimits | None = None
) -> Generator[Spreadsheet]:
    """A spreadsheet, ready to be read and written. Nothing is sent before the first call.

    Raises:
        ConfigurationError: GOOGLE_SERVICE_ACCOUNT_JSON is not a key, or the id is not an id.
    """
    limits = limits or RequestLimits()
    if not _SPREADSHEET_ID.fullmatch(spreadsheet_id):
        raise ConfigurationError(
            f"{spreadsheet_id!r} is not a spreadsheet's id. Set google_sheet_id of the tenant, or GOOGLE_SHEET_ID, "
            "to the part of its address between /d/ and /edit."
        )
    key = service_account(settings.google_service_account_json.get_secret_value())
    base = settings.google_sheets_url.rstrip("/")
    people = "https://docs.google.com/spreadsheets" if base == GOOGLE else base
    with _session(key) as session:
        yield Spreadsheet(
            _http_client(session, base, limits),
            spreadsheet_id,
            url=f"{people}/d/{spreadsheet_id}/edit",
            account=key["client_email"],
            gate=gate,
            limits=limits,
        )


def _session(key: Mapping[str, Any]) -> "Session":
    from google.auth.credentials import Credentials  # noqa: PLC0415
    from google.auth.exceptions import RefreshError  # noqa: PLC0415
    from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415
    from google.oauth2.service_account import Credentials as ServiceAccount  # noqa: PLC0415

    account = ServiceAccount.from_service_account_info(key, scopes=[_SCOPE])

    class Token(Credentials):
        """Gets only the service account's token.

        Google's own class also asks iamcredentials.googleapis.com, in a thread, which regions the account may use.
        """

        def refresh(self, request: Any) -> None:
            try:
                account.refresh(request)
            # google-auth raises these if the answer is a success but not a token, such as an HTML page.
            except (TypeError, AttributeError, ValueError):
                raise RefreshError("no token in the answer") from None
            self.token, self.expiry = account.token, account.expiry

    # Logs in once more if a token is not accepted, as after it was revoked.
    return AuthorizedSession(Token(), max_refresh_attempts=1)


def _http_client(session: "Session", base: str, limits: RequestLimits) -> "HTTPClient":
    from gspread.http_client import HTTPClient  # noqa: PLC0415 (heavy; definitions load without it)

    class SheetsClient(HTTPClient):
        """Sends to the configured address, JSON as UTF-8, and keeps the headers of failed answers."""

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
                timeout=(limits.connect_seconds, limits.answer_seconds),
                # A redirected write would be sent as a read.
                allow_redirects=False,
            )
            if not response.ok:
                raise FailedAnswerError(response)
            return response

    return SheetsClient(cast("Any", None), session)


def _listed(answer: Any, name: str, count: int | None = None) -> list[dict[str, Any]]:
    """The list of this name in an answer. It must have ``count`` items."""
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
