"""What goes wrong with a call of Google Sheets: whether it passes, whether it may have been done, what a person can do.

No message holds the key or what is in the cells.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from cdp_platform.errors import ConfigurationError, PlatformError, SourceError
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


@dataclass(frozen=True)
class Target:
    """Which spreadsheet it is about, and who asked."""

    spreadsheet_id: str
    url: str
    account: str

    @property
    def where(self) -> str:
        """How it is called in errors."""
        return f"Google Sheets, spreadsheet {self.spreadsheet_id}"


@dataclass(frozen=True)
class Trouble:
    """Why an attempt failed.

    Attributes:
        error: What is raised if there is no other attempt.
        passing: Whether another attempt may go better.
        perhaps_done: Whether the server may have done what it was asked to.
        pause: Seconds that the server asks to wait.
        for_all: Whether everybody has to wait.
    """

    error: PlatformError
    passing: bool = False
    perhaps_done: bool = False
    pause: float = 0.0
    for_all: bool = False


class RefusedError(Exception):
    """An answer that is no success."""

    def __init__(self, response: "Response") -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.content = response.content


class UnusableAnswerError(Exception):
    """A success that does not say what was asked for."""


def explained(error: Exception, target: Target, cells: Callable[[], Iterable[str]]) -> Trouble | None:
    """What an error of a request means; None for one that has nothing to do with it.

    Args:
        cells: The texts that were sent. They are taken out of Google's words.
    """
    from google.auth.exceptions import RefreshError, TransportError  # noqa: PLC0415
    from requests import RequestException  # noqa: PLC0415

    if isinstance(error, RefusedError):
        return _refused(error, target, cells)
    if isinstance(error, RefreshError):
        return _not_logged_in(error, target)
    if isinstance(error, TransportError):
        return Trouble(
            SourceError(
                f"Google's token server does not answer ({_reason(error)}), so {target.account} is not logged in. Is "
                "this machine's way to it open, and the token_uri of GOOGLE_SERVICE_ACCOUNT_JSON right?",
                transient=True,
            ),
            passing=True,
        )
    if isinstance(error, RequestException | UnusableAnswerError):
        return Trouble(
            SourceError(
                f"{target.where}: no usable answer ({_reason(error)}). Is GOOGLE_SHEETS_URL right?", transient=True
            ),
            passing=True,
            perhaps_done=_was_sent(error),
        )
    return None


def _refused(error: RefusedError, target: Target, cells: Callable[[], Iterable[str]]) -> Trouble:
    status = error.status
    words, reasons = _said(error.content, cells)
    said = f"HTTP {status}" + (f": {words}" if words else "")
    verdict = outside.verdict(status)
    if verdict.passes:
        paced = verdict is Verdict.WAIT
        pause = outside.retry_after_seconds(error.headers.get("retry-after")) or 0.0
        asked = f" It asks to wait {pause:.0f} s." if pause else ""
        what = "no more requests for now" if paced else "failed"
        return Trouble(
            SourceError(f"{target.where}: {what} ({said}).{asked} Try again later.", transient=True),
            passing=True,
            perhaps_done=verdict is Verdict.UNKNOWN,
            pause=pause,
            for_all=paced,
        )
    if status == _TOO_LARGE:
        message = f"{target.where}: the request is too large ({said}). Write fewer rows at once."
        return Trouble(SourceError(message, transient=False))
    return Trouble(_refusal(status, said, reasons, target))


def _refusal(status: int, said: str, reasons: set[str], target: Target) -> PlatformError:
    if not reasons:
        # Not Google's way to refuse.
        return SourceError(f"{target.where}: refused ({said}). Is GOOGLE_SHEETS_URL right?", transient=False)
    if status == _UNAUTHORIZED:
        return ConfigurationError(
            f"{target.where}: the login of {target.account} is not taken ({said}). Check that "
            "GOOGLE_SERVICE_ACCOUNT_JSON and GOOGLE_SHEETS_URL belong together."
        )
    if status == _FORBIDDEN and "SERVICE_DISABLED" in reasons:
        return ConfigurationError(
            f"{target.where}: the Google Sheets API is not enabled in the project of {target.account}. Enable it "
            f"in the Google Cloud console and wait a few minutes ({said})."
        )
    if status == _FORBIDDEN:
        return ConfigurationError(
            f"Share the spreadsheet {target.spreadsheet_id} with {target.account} as an editor: {target.url} ({said})."
        )
    if status == _NOT_FOUND:
        return ConfigurationError(
            f"There is no spreadsheet {target.spreadsheet_id} ({said}). Check google_sheet_id of the tenant or "
            "GOOGLE_SHEET_ID, or it was deleted."
        )
    return SourceError(f"{target.where}: refused ({said}).", transient=False)


def _not_logged_in(error: "RefreshError", target: Target) -> Trouble:
    words = outside.without_quotes(str(error.args[0] if error.args else ""), ())
    if error.retryable:
        message = f"Google's token server fails for {target.account} ({words}). Try again later."
        return Trouble(SourceError(message, transient=True), passing=True)
    answer = error.args[1] if len(error.args) > 1 else None
    if isinstance(answer, dict) and isinstance(answer.get("error"), str):
        what = f"does not let {target.account} in ({words})"
    else:
        what = f"gives {target.account} no token; is the key's token_uri right"
    return Trouble(
        ConfigurationError(
            f"Google's token server {what}. If the key or the account was deleted or disabled, make a new key and "
            "set GOOGLE_SERVICE_ACCOUNT_JSON to it; if it speaks of time, set the clock of this machine."
        )
    )


def _was_sent(error: Exception) -> bool:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError  # noqa: PLC0415

    reason = getattr(error.args[0], "reason", None) if error.args else None
    return not isinstance(reason, ConnectTimeoutError | NewConnectionError)


def _reason(error: Exception) -> str:
    """What went wrong on the way, without the address and what else a client's words quote."""
    return str(error) if isinstance(error, UnusableAnswerError) else network.reason(error)


def _said(content: bytes, cells: Callable[[], Iterable[str]]) -> tuple[str, set[str]]:
    """What Google says of an error, without the cells that it may quote, and its names for it; nothing of others."""
    try:
        error = orjson.loads(content)["error"]
        message, details = error.get("message"), error.get("details", [])
        reasons = {str(error["status"]), *(str(one.get("reason")) for one in details)}
    # Not Google's: a proxy's page, say.
    except (ValueError, TypeError, KeyError, AttributeError):
        return "", set()
    if not isinstance(message, str):
        return "", reasons
    return _QUOTED_CELL.sub("(cell)", outside.without_quotes(message, cells())), reasons
