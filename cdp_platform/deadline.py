"""Work that has to answer in time, however it hangs.

Timeouts of clients do not bound everything: the resolution of a name has none, and several addresses, attempts or slow
pieces of an answer add up.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T], *, late: Callable[[], Exception]) -> T:
    """What the work returns or raises, if it does so in time.

    The work runs in a thread of its own. If it is late it is left alone there, and what it still does is forgotten: it
    must only look, and close what it opens.

    Args:
        seconds: how long it may take.
        work: called once.
        late: makes the error that is raised when time is over.
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
