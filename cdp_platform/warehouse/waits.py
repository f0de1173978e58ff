"""A log line names who holds a lock that this process has waited for during several seconds.

A statement that waits cannot log, so a thread looks at the connections of this process once a second. It queries the
server only about statements that have run for `SPEAK_AFTER_SECONDS`. The limit of a wait is set on the connection
(`cdp_platform.warehouse.connection`).
"""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable

import psycopg
from psycopg.pq import TransactionStatus

from cdp_platform.errors import PlatformError
from cdp_platform.warehouse.statements import statement

_log = logging.getLogger(__name__)

SPEAK_AFTER_SECONDS = 5.0
_LOOK_SECONDS = 1.0


class _Watched:
    """A connection, how to open another one like it, and what is known of its present wait."""

    def __init__(self, connection: psycopg.Connection, reopen: Callable[[], psycopg.Connection]) -> None:
        self.connection = weakref.ref(connection)
        self.reopen = reopen
        self.busy_since: float | None = None
        self.asked_at = 0.0
        self.blocker: str | None = None


_watched: dict[int, _Watched] = {}
_lock = threading.Lock()
_thread: threading.Thread | None = None


def _begin_anew() -> None:
    """In a forked process: the thread is gone, may have held the lock, and the connections are the parent's."""
    global _lock, _thread
    _lock, _thread = threading.Lock(), None
    _watched.clear()


os.register_at_fork(after_in_child=_begin_anew)


def watch(connection: psycopg.Connection, reopen: Callable[[], psycopg.Connection]) -> None:
    """Log who this connection waits for, as long as it is open; ``reopen`` opens another one like it."""
    global _thread  # noqa: PLW0603 (one per process)
    with _lock:
        _watched[id(connection)] = _Watched(connection, reopen)
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_run, name="waits", daemon=True)
            _thread.start()


def last_blocker(connection: psycopg.Connection) -> str | None:
    """The holder of the lock that this connection waits for, or has just waited for; None if unknown."""
    found = _watched.get(id(connection))
    return found.blocker if found is not None and found.connection() is connection else None


def _run() -> None:
    while True:
        time.sleep(_LOOK_SECONDS)
        with _lock:
            for key, each in list(_watched.items()):
                connection = each.connection()
                if connection is None or connection.closed:
                    del _watched[key]
            watched = list(_watched.values())
        now = time.monotonic()
        due = [each for each in watched if _is_due(each, now)]
        for each in due:
            each.asked_at = now
            try:
                _ask(each)
            except (psycopg.Error, PlatformError) as error:
                _log.debug("could not query who is waited for: %s", type(error).__name__)


def _is_due(each: _Watched, now: float) -> bool:
    connection = each.connection()
    if connection is None or connection.closed:
        return False
    if connection.info.transaction_status != TransactionStatus.ACTIVE:
        each.busy_since = each.blocker = None
        return False
    if each.busy_since is None:
        each.busy_since = now
    return now - each.busy_since >= SPEAK_AFTER_SECONDS - _LOOK_SECONDS and now - each.asked_at >= SPEAK_AFTER_SECONDS


def _ask(each: _Watched) -> None:
    connection = each.connection()
    if connection is None:
        return
    pid = connection.info.backend_pid
    with each.reopen() as asking:
        rows = asking.execute(statement("warehouse", "blockers"), [pid, pid]).fetchall()
    if not rows or connection.closed:
        return
    _, what, since = rows[0]
    holders = "; ".join(holder for holder, _, _ in rows)
    if holders != each.blocker:
        _log.warning("Waiting since %s UTC for %s, held by %s.", since, what, holders)
    each.blocker = holders
