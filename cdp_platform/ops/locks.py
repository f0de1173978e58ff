"""Every advisory lock of the platform: its name, its purpose, the longest wait for it, and the order of all locks.

A connection that takes several locks takes them in the order of the functions below, from the top. Otherwise two
processes could each hold the lock that the other one waits for. `held`, `tried`, `take` and `share` raise RuntimeError
if a lock stands above one that the session of the connection holds. Locks of one kind are ordered by name.

Functions of the database take two more locks, after all of these: ``customers.refresh_customer_metrics`` one per
tenant, and ``embeddings.build_vector_indexes`` one per kind and model. `cdp migrate` takes ``migrate``, and no other
lock with it.

Locks of rows come after all advisory locks: leased work first, by its claim (SKIP LOCKED, so nothing waits for it),
then rows of `campaigns.recipient` in the order of their hashes, or the row of a room's ``spend``; they are held until
the transaction ends. Rows of `ops.gate` are locked in
transactions of their own.

While a statement waits for a lock, `cdp_platform.warehouse.waits` logs which process holds it. Errors of connections
that `connect` opened end with the same words.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import psycopg
from psycopg import sql

from cdp_platform.errors import BusyError
from cdp_platform.warehouse.connection import LOCK_SECONDS, advisory_key, single_flight

INGESTOR_WAIT_SECONDS = 1.0
FEED_WAIT_SECONDS = 60.0
SYNC_WAIT_SECONDS = 300.0
TRACKER_WAIT_SECONDS = 300.0

_held: WeakKeyDictionary[psycopg.Connection, list["Lock"]] = WeakKeyDictionary()


@dataclass(frozen=True, order=True)
class Lock:
    """One advisory lock.

    Attributes:
        order: the place of its kind in the order.
        name: text whose hash is the key of the lock.
        busy: message of the BusyError if the lock was not free in time.
        wait_seconds: longest wait of `held` and `tried`. `take` and `share` wait as long as their connection waits for
            any lock, which is usually the default here.
    """

    order: int
    name: str
    busy: str = field(compare=False)
    wait_seconds: float = field(default=LOCK_SECONDS, compare=False)


def ingestor(tenant_id: str, name: str) -> Lock:
    """Held by the run that works on an ingestor. A second run leaves the ingestor to the first."""
    busy = f"Another run is at work on the ingestor {name} of tenant {tenant_id}."
    return Lock(1, f"ingestor {tenant_id} {name}", busy, INGESTOR_WAIT_SECONDS)


def feed(tenant_id: str, organization_id: str) -> Lock:
    """Held while an organization's feed is read and landed."""
    busy = f"Another round of {organization_id} for tenant {tenant_id} has been running for long."
    return Lock(2, f"catalog {tenant_id} {organization_id}", busy, FEED_WAIT_SECONDS)


def registry(tenant_id: str) -> Lock:
    """Taken by transactions that change who owns what in the catalogue, shared by those that rely on it."""
    busy = f"The registries of tenant {tenant_id} are being changed. Try again later."
    return Lock(3, f"registry {tenant_id}", busy)


def sync(tenant_id: str, collection: str) -> Lock:
    """Held by a sync, a replay or a reconciliation, which write rows that come from this collection of a tenant."""
    busy = f"Another sync of {collection} for tenant {tenant_id} has been running for long."
    return Lock(4, f"sync {tenant_id} {collection}", busy, SYNC_WAIT_SECONDS)


def tracker(tenant_id: str) -> Lock:
    """Held while a tenant's rows are copied from the tracker."""
    busy = f"Another run has been bringing the tracker's rows of tenant {tenant_id} for long."
    return Lock(5, f"tracker {tenant_id}", busy, TRACKER_WAIT_SECONDS)


def spreadsheet(spreadsheet_id: str, *, link: str) -> Lock:
    """Held by an export; ``link`` is the spreadsheet's address for people."""
    busy = f"Another export to {link} is under way. Nothing was changed; try again later."
    return Lock(6, f"export to spreadsheet {spreadsheet_id}", busy)


def referral_days(tenant_id: str) -> Lock:
    """Taken while days of a tenant are counted, as two at once would insert the same; held by an export's snapshot."""
    busy = f"Days of tenant {tenant_id} are being counted. Try again later."
    return Lock(7, f"referral days {tenant_id}", busy)


def value(tenant_id: str) -> Lock:
    """Taken while the value of a tenant's customers is computed, as two at once would insert the same."""
    busy = f"The value of the customers of tenant {tenant_id} is being computed. Try again later."
    return Lock(8, f"value {tenant_id}", busy)


def segments(tenant_id: str) -> Lock:
    """Taken while segments of a tenant are written, as two at once would write the same version."""
    busy = f"The segments of tenant {tenant_id} are being written. Try again later."
    return Lock(9, f"segments {tenant_id}", busy)


def payments(tenant_id: str) -> Lock:
    """Taken by transactions that take an event of a payment, as a refund and its payment may come at once."""
    busy = f"A payment of tenant {tenant_id} is being taken. Try again later."
    return Lock(10, f"payments {tenant_id}", busy)


def enrichment(tenant_id: str) -> Lock:
    """Taken by transactions that reserve paid calls or settle them, so that limits hold and nothing is bought twice."""
    busy = f"Calls of tenant {tenant_id} are being reserved. Try again later."
    return Lock(11, f"enrichment {tenant_id}", busy)


def erasure(tenant_id: str) -> Lock:
    """Taken by erasures of persons of a tenant, shared by transactions that write rows about persons.

    The function ``ops.erasure_lock`` of the database has the same key. See `cdp_platform.ops.erasure`.
    """
    busy = f"In tenant {tenant_id} somebody is being erased, or rows about persons are being written. Try again later."
    return Lock(12, f"erase {tenant_id}", busy)


def second_worker(tenant_id: str, collection: str) -> Lock:
    """Shared by transactions of the second worker of a full read, and taken once by whoever has taken `sync`.

    So no batch of a read whose first worker was killed is committed after the next work on the collection has begun.
    """
    busy = f"An earlier sync of {collection} for tenant {tenant_id} is still being written. Try again later."
    return Lock(13, f"second worker {tenant_id} {collection}", busy)


def alerts() -> Lock:
    """Held by the process that sends messages about alerts, so that none is sent by two."""
    return Lock(14, "alerts", "Another process is telling people of alerts. Try again later.", 1.0)


@contextmanager
def held(connection: psycopg.Connection, lock: Lock, *, wait_seconds: float | None = None) -> Generator[None]:
    """Hold a lock over many transactions.

    Args:
        connection: outside any transaction. A session that crashes frees its locks.
        lock: the lock.
        wait_seconds: longest wait, if not that of the lock.

    Raises:
        BusyError: the lock was not free in time; nothing was done.
    """
    with tried(connection, lock, wait_seconds=wait_seconds) as free:
        if not free:
            raise BusyError(lock.busy)
        yield


@contextmanager
def tried(connection: psycopg.Connection, lock: Lock, *, wait_seconds: float | None = None) -> Generator[bool]:
    """Hold a lock over many transactions if it is free in time; yields whether it was. Arguments as in `held`."""
    _require_order(connection, lock)
    wait_seconds = lock.wait_seconds if wait_seconds is None else wait_seconds
    with single_flight(connection, lock.name, wait_seconds=wait_seconds) as free:
        if not free:
            yield False
            return
        mine = _held.setdefault(connection, [])
        mine.append(lock)
        try:
            yield True
        finally:
            mine.remove(lock)


@contextmanager
def syncing(connection: psycopg.Connection, tenant_id: str, collection: str) -> Generator[None]:
    """Hold `sync` over many transactions, after the last of an earlier `second_worker` has ended.

    Raises:
        BusyError: other work on the collection did not end in time; nothing was done.
    """
    with held(connection, sync(tenant_id, collection)):
        with connection.transaction():
            take(connection, second_worker(tenant_id, collection))
        yield


def is_held(connection: psycopg.Connection, lock: Lock, *, by: int) -> bool:
    """Whether the session with this process id of the server has the lock alone."""
    query = sql.SQL(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted"
        " AND pid = {} AND (classid::bigint << 32 | objid::bigint) = {})"
    ).format(sql.Literal(by), advisory_key(lock.name))
    return connection.execute(query).fetchone() == (True,)


def take(connection: psycopg.Connection, lock: Lock) -> None:
    """Have a lock alone until the end of the transaction.

    Raises:
        BusyError: the lock was not free within the connection's limit; the transaction can only be rolled back.
    """
    _lock(connection, lock, sql.SQL("pg_advisory_xact_lock"))


def share(connection: psycopg.Connection, lock: Lock) -> None:
    """Share a lock with others until the end of the transaction.

    Raises:
        BusyError: as in `take`.
    """
    _lock(connection, lock, sql.SQL("pg_advisory_xact_lock_shared"))


def _lock(connection: psycopg.Connection, lock: Lock, function: sql.SQL) -> None:
    _require_order(connection, lock)
    try:
        connection.execute(sql.SQL("SELECT {}({})").format(function, advisory_key(lock.name)))
    except psycopg.errors.LockNotAvailable as error:
        raise BusyError(lock.busy) from error


def _require_order(connection: psycopg.Connection, lock: Lock) -> None:
    mine = _held.get(connection, [])
    if lock not in mine and any(lock < other for other in mine):
        raise RuntimeError(f"the lock {lock.name!r} is to be taken before {max(mine).name!r}")
