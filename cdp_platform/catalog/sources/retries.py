"""Trying again what can pass: exponential backoff with full jitter, within one deadline for the whole document."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from cdp_platform.catalog.errors import SourceError

_LONGEST_WAIT_SECONDS = 30.0

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long a source waits, in seconds.

    Attributes:
        connect: For a connection.
        read: For the next bytes.
        document: For a document as a whole: every redirect, every attempt and the waiting between them.
        attempts: Including the first.
        backoff: The first wait is drawn from 0 to this, and each further one from twice as much.
    """

    connect: float = 5.0
    read: float = 20.0
    document: float = 120.0
    attempts: int = 4
    backoff: float = 0.5


class PassingError(Exception):
    """An attempt failed in a way that may pass. ``wait``: seconds that the server asks for."""

    def __init__(self, message: str, *, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Deadline:
    """The moment at which a document has to be there."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then; 0 or less when it is over."""
        return self._at - time.monotonic()


def retried(where: str, patience: Patience, attempt: Callable[[Deadline], T]) -> T:
    """What an attempt gives, after as many as it takes.

    Args:
        where: Address of the document, fit to be shown.
        attempt: Called with the deadline. Only a PassingError makes for another attempt.

    Raises:
        SourceError: transient, when no attempt is left, or no time for one.
    """
    deadline = Deadline(patience.document)
    for number in range(patience.attempts):
        try:
            return attempt(deadline)
        except PassingError as error:
            wait = error.wait
            if wait is None:
                wait = random.uniform(0, min(_LONGEST_WAIT_SECONDS, patience.backoff * 2**number))  # noqa: S311
            if number + 1 == patience.attempts:
                raise SourceError(f"{where}: {error}; {number + 1} attempts failed.", transient=True) from error
            if wait >= deadline.left():
                why = f"it asks to wait {wait:.0f} s" if error.wait else f"{patience.document:.0f} s are over"
                raise SourceError(f"{where}: {error}; {why}. Try again later.", transient=True) from error
        time.sleep(wait)
    raise AssertionError("a source makes at least one attempt")
