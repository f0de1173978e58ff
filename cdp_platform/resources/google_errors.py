"""Turns what goes wrong with a call of Google Sheets into an error that says what to do.

No message holds the key or the contents of cells.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from cdp_platform.errors import (
    ConfigurationError,
    OutcomeUnknownError,
    PacedError,
    PlatformError,
    RefusedError,
    UnavailableError,
)
from cdp_platform.resources import network, outside
from cdp_platform.resources.outside import Verdict

if TYPE_CHECKING:
    from google.auth.exceptions import RefreshError
    from requests import Response

# Where Google begins to quote a cell that it does not understand.
_QUOTED_CELL = re.compile(r"""\b\w+_value\s*[:{].*|(?<=\), )['"].*""", re.DOTALL)

_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_TOO_LARGE = 413


class FailedAnswerError(Exception):
    """An answer with an HTTP status that is no success."""

    def __init__(self, response: "Response") -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.content = response.content


class UnusableAnswerError(Exception):
    """A success whose body lacks what was asked for."""


@dataclass(frozen=True)
class SpreadsheetCall:
    """One call, as errors name it, and how it may be repeated.

    Attributes:
        account: the service account that calls.
        repeatable: a second execution would change nothing.
        cells: returns the texts that were sent; they are taken out of Google's messages.
    """

    spreadsheet_id: str
    url: str
    account: str
    repeatable: bool
    cells: Callable[[], Iterable[str]]

    @property
    def where(self) -> str:
        """The spreadsheet, as errors name it."""
        return f"Google Sheets, spreadsheet {self.spreadsheet_id}"

    def lost(self, message: str, retry_after_seconds: float | None = None) -> PlatformError:
        """The error of a call that may have been executed."""
        if self.repeatable:
            return UnavailableError(message, retry_after_seconds=retry_after_seconds)
        return OutcomeUnknownError(f"{message} Whether the spreadsheet was changed is not known; it has to be asked.")


def explained(error: Exception, call: SpreadsheetCall) -> PlatformError | None:
    """The error of `cdp_platform.errors` that an exception of a call means; None if it does not come from the call."""
    from google.auth.exceptions import RefreshError, TransportError  # noqa: PLC0415
    from requests import RequestException  # noqa: PLC0415

    if isinstance(error, FailedAnswerError):
        return _failed(error, call)
    if isinstance(error, RefreshError):
        return _not_logged_in(error, call)
    if isinstance(error, TransportError):
        return UnavailableError(
            f"Google's token server does not answer ({_reason(error)}), so {call.account} is not logged in. Is this "
            "machine's way to it open, and the token_uri of GOOGLE_SERVICE_ACCOUNT_JSON right?"
        )
    if isinstance(error, RequestException | UnusableAnswerError):
        message = f"{call.where}: no usable answer ({_reason(error)}). Is GOOGLE_SHEETS_URL right?"
        return call.lost(message) if _was_sent(error) else UnavailableError(message)
    return None


def _failed(error: FailedAnswerError, call: SpreadsheetCall) -> PlatformError:
    words, reasons = _said(error.content, call.cells)
    said = f"HTTP {error.status}" + (f": {words}" if words else "")
    verdict = outside.verdict(error.status)
    if verdict.passes:
        seconds = outside.retry_after_seconds(error.headers.get("retry-after")) or 0.0
        asked = f" It asks to wait {seconds:.0f} s." if seconds else ""
        if verdict is Verdict.WAIT:
            message = f"{call.where}: no more requests for now ({said}).{asked} Try again later."
            return PacedError(message, retry_after_seconds=seconds)
        message = f"{call.where}: failed ({said}).{asked} Try again later."
        if verdict is Verdict.UNKNOWN:
            return call.lost(message, seconds)
        return UnavailableError(message, retry_after_seconds=seconds)
    if error.status == _TOO_LARGE:
        return RefusedError(f"{call.where}: the request is too large ({said}). Write fewer rows at once.")
    return _refused(error.status, said, reasons, call)


def _refused(status: int, said: str, reasons: set[str], call: SpreadsheetCall) -> PlatformError:
    if not reasons:
        # Google always names a reason, so this is another server's answer.
        return RefusedError(f"{call.where}: refused ({said}). Is GOOGLE_SHEETS_URL right?")
    if status == _UNAUTHORIZED:
        return ConfigurationError(
            f"{call.where}: the login of {call.account} is not accepted ({said}). Check that "
            "GOOGLE_SERVICE_ACCOUNT_JSON and GOOGLE_SHEETS_URL belong together."
        )
    if status == _FORBIDDEN and "SERVICE_DISABLED" in reasons:
        return ConfigurationError(
            f"{call.where}: the Google Sheets API is not enabled in the project of {call.account}. Enable it "
            f"in the Google Cloud console and wait a few minutes ({said})."
        )
    if status == _FORBIDDEN:
        return ConfigurationError(
            f"Share the spreadsheet {call.spreadsheet_id} with {call.account} as an editor: {call.url} ({said})."
        )
    if status == _NOT_FOUND:
        return ConfigurationError(
            f"There is no spreadsheet {call.spreadsheet_id} ({said}). Check google_sheet_id of the tenant or "
            "GOOGLE_SHEET_ID, or it was deleted."
        )
    return RefusedError(f"{call.where}: refused ({said}).")


def _not_logged_in(error: "RefreshError", call: SpreadsheetCall) -> PlatformError:
    words = outside.without_quotes(str(error.args[0] if error.args else ""), ())
    if error.retryable:
        return UnavailableError(f"Google's token server fails for {call.account} ({words}). Try again later.")
    answer = error.args[1] if len(error.args) > 1 else None
    if isinstance(answer, dict) and isinstance(answer.get("error"), str):
        what = f"does not let {call.account} in ({words})"
    else:
        what = f"gives {call.account} no token; is the key's token_uri right"
    return ConfigurationError(
        f"Google's token server {what}. If the key or the account was deleted or disabled, make a new key and "
        "set GOOGLE_SERVICE_ACCOUNT_JSON to it; if it speaks of time, set the clock of this machine."
    )


def _was_sent(error: Exception) -> bool:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError  # noqa: PLC0415

    reason = getattr(error.args[0], "reason", None) if error.args else None
    return not isinstance(reason, ConnectTimeoutError | NewConnectionError)


def _reason(error: Exception) -> str:
    """Why a request failed, without the address and other things that a client's message may quote."""
    return str(error) if isinstance(error, UnusableAnswerError) else network.reason(error)


def _said(content: bytes, cells: Callable[[], Iterable[str]]) -> tuple[str, set[str]]:
    """Google's message, without quoted cells, and its names for the reasons; nothing if another server answered."""
    try:
        error = orjson.loads(content)["error"]
        message, details = error.get("message"), error.get("details", [])
        reasons = {str(error["status"]), *(str(one.get("reason")) for one in details)}
    # Not Google's form of an error, such as a page of a proxy.
    except (ValueError, TypeError, KeyError, AttributeError):
        return "", set()
    if not isinstance(message, str):
        return "", reasons
    return _QUOTED_CELL.sub("(cell)", outside.without_quotes(message, cells())), reasons
