"""How far runs of this process are, for a person who watches. A deployed run has no watcher, only metadata."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Report(Protocol):
    """Called with the units done so far, the units in all (None if that is unknown), and further figures in words."""

    def __call__(self, done: int, total: int | None, figures: str = "", /) -> None:
        """Take note of it."""
        ...


Begin = Callable[[str, str], Report]
"""Called with a tenant and what is made of it, as that work begins."""


def _ignore(_done: int, _total: int | None, _figures: str = "") -> None:
    """Do nothing."""


_begin: ContextVar[Begin] = ContextVar("progress", default=lambda _tenant_id, _subject: _ignore)


def of(tenant_id: str, subject: str) -> Report:
    """Begin a piece of work, such as the table of a tenant; assets give what this returns to their plain functions."""
    return _begin.get()(tenant_id, subject)


@contextmanager
def shown_by(begin: Begin | None) -> Generator[None]:
    """Report the work of runs inside this context to a watcher, if there is one."""
    if begin is None:
        yield
        return
    token = _begin.set(begin)
    try:
        yield
    finally:
        _begin.reset(token)
