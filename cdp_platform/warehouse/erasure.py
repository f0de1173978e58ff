"""Erasing a person from every store, for good.

What was erased leaves a tombstone, the key of its source document, and whoever writes what comes from a source leaves
out documents that have one (`erased`). A batch of documents and an erasure of the same tenant exclude each other, so
that none slips in between (`while_nobody_is_erased`).

Which stores there are is not known here: each room lists its own.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg

from cdp_platform.warehouse.connection import tenant_transaction


@dataclass(frozen=True)
class Store:
    """A place that holds something of persons.

    Attributes:
        name: of the table, or of the place outside.
        erase: deletes what the store holds of these profiles, inside a transaction of the tenant, and returns how many
            rows that were.
    """

    name: str
    erase: Callable[[psycopg.Connection, str, Sequence[str]], int]


@dataclass(frozen=True)
class Receipt:
    """What an erasure did.

    Attributes:
        tenant_id: whose customer it was.
        profile_ids: the person's profiles: those that were asked for, and those merged with them.
        rows: how many rows each store lost.
        erased_at: when, UTC.
    """

    tenant_id: str
    profile_ids: list[str]
    rows: dict[str, int]
    erased_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def erase(
    connection: psycopg.Connection,
    tenant_id: str,
    profile_ids: Collection[str],
    stores: Iterable[Store],
) -> Receipt:
    """Delete these profiles from every store, in one transaction."""
    found = sorted(set(profile_ids))
    with tenant_transaction(connection, tenant_id):
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_lock_key(tenant_id)])
        rows = {store.name: store.erase(connection, tenant_id, found) for store in stores}
    return Receipt(tenant_id, found, rows)


def while_nobody_is_erased(connection: psycopg.Connection, tenant_id: str) -> None:
    """Keep erasures of this tenant waiting until the caller's transaction ends; waits for one that is under way."""
    connection.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0))", [_lock_key(tenant_id)])


def bury(connection: psycopg.Connection, tenant_id: str, source: str, document_keys: Iterable[str]) -> None:
    """Leave tombstones for these documents of a source, as far as they have none."""
    connection.execute(
        "INSERT INTO ops.erased_document (tenant_id, source, document_key) SELECT %s, %s, unnest(%s::text[])"
        " ON CONFLICT DO NOTHING",
        [tenant_id, source, sorted(set(document_keys))],
    )


def anybody_erased(connection: psycopg.Connection, tenant_id: str) -> bool:
    """Whether the tenant has any tombstone: most have none, and need not look for each document."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM ops.erased_document WHERE tenant_id = %s)", [tenant_id]
    ).fetchone()
    return bool(row and row[0])


def erased(connection: psycopg.Connection, tenant_id: str, source: str, document_keys: Iterable[str]) -> set[str]:
    """Those of the documents that have a tombstone."""
    rows = connection.execute(
        "SELECT document_key FROM ops.erased_document WHERE tenant_id = %s AND source = %s AND document_key = ANY(%s)",
        [tenant_id, source, list(document_keys)],
    ).fetchall()
    return {row[0] for row in rows}


def all_erased(connection: psycopg.Connection, tenant_id: str, source: str) -> list[str]:
    """Every document of a source that has a tombstone."""
    rows = connection.execute(
        "SELECT document_key FROM ops.erased_document WHERE tenant_id = %s AND source = %s ORDER BY 1",
        [tenant_id, source],
    ).fetchall()
    return [row[0] for row in rows]


def _lock_key(tenant_id: str) -> str:
    return f"cdp_platform:erase {tenant_id}"
