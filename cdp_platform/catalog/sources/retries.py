"""Repeats reads that may succeed later, with exponential backoff and full jitter, within one deadline per document."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from cdp_platform.catalog.errors import UnreadableError

_LONGEST_WAIT_SECONDS = 30.0

T = TypeVar("T")


@dataclass(frozen=True)
class RetryLimits:
    """How long a source waits, in seconds, and how often it tries.

    Attributes:
        connect: longest time for a connection.
        read: longest time for the next bytes.
        document: longest time for a document, with all redirects, attempts and waits between them.
        attempts: number of attempts, including the first.
        backoff: the first wait is a random time between 0 and this; the range doubles with each further wait.
    """

    connect: float = 5.0
    read: float = 20.0
    document: float = 120.0
    attempts: int = 4
    backoff: float = 0.5


class PassingError(Exception):
    """An attempt failed, and another may succeed. ``wait``: seconds that the server asks to wait."""

    def __init__(self, message: str, *, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Deadline:
    """The time by which a document has to be read."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then; 0 or less after it."""
        return self._at - time.monotonic()


def retried(where: str, limits: RetryLimits, attempt: Callable[[Deadline], T]) -> T:
    """Call an attempt until it succeeds, and return its result.

    Args:
        where: address of the document, without secrets.
        limits: times and number of attempts.
        attempt: called with the deadline. Only a PassingError leads to another attempt.

    Raises:
        UnreadableError: transient; no attempt or no time is left.
    """
    deadline = Deadline(limits.document)
    for number in range(limits.attempts):
        try:
            return attempt(deadline)
        except PassingError as error:
            wait = error.wait
            if wait is None:
                wait = random.uniform(0, min(_LONGEST_WAIT_SECONDS, limits.backoff * 2**number))  # noqa: S311
            if number + 1 == limits.attempts:
                raise UnreadableError(f"{where}: {error}; {number + 1} attempts failed.", transient=True) from error
            if wait >= deadline.left():
                why = f"it asks to wait {wait:.0f} s" if error.wait else f"{limits.document:.0f} s are over"
                raise UnreadableError(f"{where}: {error}; {why}. Try again later.", transient=True) from error
        time.sleep(wait)
    raise AssertionError("a source makes at least one attempt")
