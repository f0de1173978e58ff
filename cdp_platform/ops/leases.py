"""Leases: until when a piece of work belongs to the process that took it.

A process that works extends its leases all the time, by one thread for all of them (`beating`). Of a process that dies
the leases end by themselves, and another process takes the work. `Leases` extends what is held and puts back what is
left at the end; `claim` takes rows of a table that ``ops.make_claimable`` has given the columns ``claim`` and
``lease_until``. While a heartbeat has rows locked it never waits for another, so it is in no deadlock.
"""

import threading
import time
from collections.abc import Callable, Collection, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import LiteralString, Protocol, Self
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from cdp_platform.errors import PlatformError
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

Connect = Callable[[], AbstractContextManager[psycopg.Connection]]
"""Opens a connection as the platform's role."""

LEASE_SECONDS = 60.0
# Some may fail before a lease ends.
BEAT_SECONDS = LEASE_SECONDS / 4
# A beat waits no longer for a lock: other leases of the process would end meanwhile.
_LOCK_TIMEOUT = "2s"
# A beat that is under way as the last work ends is waited for no longer.
_END_SECONDS = 5.0


class _Heart:
    """The process's one thread that calls every beat when it is due; ends when there is none."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._due: dict[Callable[[], None], tuple[float, float]] = {}
        self._beating: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None

    def add(self, beat: Callable[[], None], every_seconds: float) -> None:
        with self._lock:
            self._due[beat] = (time.monotonic() + every_seconds, every_seconds)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                self._thread.start()
            self._lock.notify_all()

    def remove(self, beat: Callable[[], None]) -> None:
        """Waits for a beat that is under way."""
        with self._lock:
            del self._due[beat]
            self._lock.notify_all()
            self._lock.wait_for(lambda: self._beating is not beat, _END_SECONDS)

    def _run(self) -> None:
        with self._lock:
            while self._due:
                beat, (due, every) = min(self._due.items(), key=lambda item: item[1][0])
                if (left := due - time.monotonic()) > 0:
                    self._lock.wait(left)
                    continue
                self._due[beat] = (time.monotonic() + every, every)
                self._beating = beat
                self._lock.release()
                try:
                    # Whatever is wrong, the next beat tries again, and a lease that is not extended ends.
                    with suppress(Exception):
                        beat()
                finally:
                    self._lock.acquire()
                    self._beating = None
                    self._lock.notify_all()
            self._thread = None


_heart = _Heart()


@contextmanager
def beating(beat: Callable[[], None], *, every_seconds: float) -> Generator[None]:
    """Call ``beat`` in the process's heartbeat thread while the caller works.

    Args:
        beat: takes a moment only, as others wait for it. If it fails, it is called again at the next time.
        every_seconds: the time between two calls; the first is after that time.
    """
    _heart.add(beat, every_seconds)
    try:
        yield
    finally:
        _heart.remove(beat)


class Work(Protocol):
    """Something of a tenant that is held by a lease. Both methods run inside the tenant's transaction."""

    @property
    def tenant_id(self) -> str:
        """The tenant of the work."""
        ...

    def extend(self, connection: psycopg.Connection) -> None:
        """Begin the lease anew, for rows that nobody else has locked."""

    def put_back(self, connection: psycopg.Connection) -> None:
        """End the lease, for rows that nobody else has locked, as if nobody had taken them."""


class Leases:
    """Extends the leases of what is held, and puts back what is still held at the end."""

    def __init__(self, connect: Connect, *, every_seconds: float = BEAT_SECONDS) -> None:
        self._connect = connect
        self._beats = beating(self._extend, every_seconds=every_seconds)
        self._held: dict[int, Work] = {}

    def __enter__(self) -> Self:
        self._beats.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._beats.__exit__(None, None, None)
        # What cannot be put back now is free when its lease ends.
        self._for_each(lambda work, connection: work.put_back(connection))

    def hold(self, work: Work) -> None:
        """Extend the lease of this work from now on."""
        self._held[id(work)] = work

    def let_go(self, work: Work) -> None:
        """The work is done, or given up."""
        self._held.pop(id(work), None)

    def _extend(self) -> None:
        self._for_each(lambda work, connection: work.extend(connection))

    def _for_each(self, do: Callable[[Work, psycopg.Connection], None]) -> None:
        if not self._held:
            return
        # A connection that is open for a moment only: those of the worker may be busy, or lost.
        with suppress(psycopg.Error, PlatformError), self._connect() as connection:
            connection.execute("SELECT set_config('lock_timeout', %s, false)", [_LOCK_TIMEOUT])
            for work in list(self._held.values()):
                with suppress(psycopg.Error), tenant_transaction(connection, work.tenant_id):
                    do(work, connection)


@dataclass(frozen=True)
class Claim:
    """Rows of one tenant that one worker has taken.

    Attributes:
        tenant_id: whose they are.
        table: with its schema.
        key: the column that is the primary key together with ``tenant_id``.
        seconds: length of the lease.
        keys: of the rows, in the order in which they are to be done.
        claim_id: what the rows carry while they are this worker's.
    """

    tenant_id: str
    table: str
    key: str
    seconds: float = LEASE_SECONDS
    keys: list[str] = field(default_factory=list)
    claim_id: UUID = field(default_factory=uuid4)

    def extend(self, connection: psycopg.Connection) -> None:
        """See `Work`."""
        self._run(connection, "extend_lease")

    def put_back(self, connection: psycopg.Connection) -> None:
        """See `Work`."""
        self._run(connection, "put_back")

    def finish(self, connection: psycopg.Connection, keys: Collection[str]) -> set[str]:
        """End the lease of rows in the transaction that writes what became of them.

        Returns:
            Those that were still this worker's. The others belong to another worker now: write nothing for them.
        """
        return {key for (key,) in self._run(connection, "finish_lease", keys=list(keys))}

    def _run(self, connection: psycopg.Connection, name: LiteralString, **names: object) -> list[tuple]:
        cursor = connection.execute(
            statement("ops", name).format(table=sql.Identifier(*self.table.split(".")), key=sql.Identifier(self.key)),
            {"tenant": self.tenant_id, "claim": self.claim_id, "seconds": self.seconds, **names},
        )
        return cursor.fetchall() if cursor.description else []


def claim(
    connection: psycopg.Connection,
    tenant_id: str,
    table: str,
    *,
    key: str,
    waiting: LiteralString,
    at_most: int,
    seconds: float = LEASE_SECONDS,
) -> Claim:
    """Take rows that wait, or whose lease has ended, inside the tenant's transaction.

    Args:
        connection: inside a transaction of the tenant that has locked no row of the table.
        tenant_id: whose rows.
        table: with its schema; ``ops.make_claimable`` has prepared it.
        key: the column that is the primary key together with ``tenant_id``. The smallest come first.
        waiting: condition on the columns of a row that is to be done.
        at_most: number of rows.
        seconds: length of the lease.
    """
    taken = Claim(tenant_id, table, key, seconds)
    rows = connection.execute(
        statement("ops", "claim").format(
            table=sql.Identifier(*table.split(".")), key=sql.Identifier(key), waiting=sql.SQL(waiting)
        ),
        {"tenant": tenant_id, "claim": taken.claim_id, "seconds": seconds, "at_most": at_most},
    ).fetchall()
    taken.keys.extend(sorted(found for (found,) in rows))
    return taken
