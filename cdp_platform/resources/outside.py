"""HTTP statuses and what is done about each, the wait that a server asks for, and its words, for all clients.

It lies here and not in `cdp_platform.ops`, since the clients in this package stand below that. What a person can do is
in each client's own messages. The body of an answer may say more than its status.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

_SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)
_SERVER_ERROR = 500
# Taking out shorter texts would take the server's own words apart.
_SHORTEST_QUOTE = 3
_WORDS_CHARACTERS = 500


class Verdict(Enum):
    """The meaning of an answer that is no success. The names of errors are those of `cdp_platform.errors`."""

    RETRY = "retry"
    """Nothing was done. The same request may be taken later (UnavailableError)."""

    WAIT = "wait"
    """Nothing was done: too many requests. All who use the same account wait too (PacedError)."""

    UNKNOWN = "unknown"
    """It failed, and may have been done all the same. The same request may be taken later (UnavailableError, or
    OutcomeUnknownError where doing it twice does harm)."""

    REFUSED = "refused"
    """Nothing was done, because of what the request holds. Another request may be taken (RefusedError)."""

    GIVE_UP = "give up"
    """Nothing was done, and no request will be taken before a person acts (ConfigurationError)."""

    @property
    def passes(self) -> bool:
        """Whether the same request may be taken later."""
        return self in {Verdict.RETRY, Verdict.WAIT, Verdict.UNKNOWN}


_VERDICTS = {
    400: Verdict.REFUSED,  # Bad Request
    408: Verdict.UNKNOWN,  # Request Timeout, also of a proxy that no longer waits for the answer
    409: Verdict.UNKNOWN,  # Conflict with another request, which may have been an earlier attempt
    413: Verdict.REFUSED,  # Content Too Large
    422: Verdict.REFUSED,  # Unprocessable Content
    425: Verdict.RETRY,  # Too Early
    429: Verdict.WAIT,  # Too Many Requests
}


def verdict(status: int) -> Verdict:
    """The meaning of a status that is no success. A status that is not in the table has the meaning of its class."""
    return _VERDICTS.get(status, Verdict.UNKNOWN if status >= _SERVER_ERROR else Verdict.GIVE_UP)


def retry_after_seconds(value: str | None) -> float | None:
    """Seconds from either form of ``Retry-After`` (RFC 9110, 10.2.3); 0 for a date that is over, None if neither."""
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)


def without_quotes(words: str, sent: Iterable[str]) -> str:
    """A server's words of an error in one line, without the texts that were sent to it, which it may quote."""
    quoted = {text for text in sent if len(text) >= _SHORTEST_QUOTE and text in words}
    for text in sorted(quoted, key=len, reverse=True):
        words = words.replace(text, "(text)")
    return " ".join(words.split())[:_WORDS_CHARACTERS].rstrip(".")
