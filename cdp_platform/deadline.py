"""A time limit for any call.

Timeouts of clients do not limit everything: name resolution has none, and several addresses, attempts or slow parts of
an answer add up.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T], *, late: Callable[[], Exception]) -> T:
    """Return or raise what the work does, if it ends in time.

    The work runs in a thread of its own. If it is late, the thread goes on and its result is ignored. So the work must
    only read, and close what it opens.

    Args:
        seconds: longest time of the work.
        work: called once.
        late: makes the error that is raised when the time is over.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, name="deadline", daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        if answer.done():
            raise
        raise late() from None
