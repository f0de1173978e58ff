"""How far each tenant's source has been read.

Grain of ``ops.sync_watermark``: one row per (tenant, source). The position is the greatest timestamp that the source
itself gave, never the clock of this machine, and is written in the transaction of the rows that it covers. All
functions work inside a transaction of the tenant.
"""

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class Watermark:
    """A position in a source that is ordered by (stamp, key): the last document that was read."""

    stamp: str
    key: str


@dataclass(frozen=True)
class SyncState:
    """The state of one source of one tenant; moments in UTC, None before the first success.

    Attributes:
        source: the collection.
        stamp: the watermark.
        last_success_at: the moment when it was last read to its end.
        source_count: number of documents that it had then.
        undated_count: number of those whose timestamp is not a moment or lies in the future.
    """

    source: str
    stamp: str | None
    last_success_at: datetime | None
    source_count: int | None
    undated_count: int | None


def read(
    connection: psycopg.Connection, tenant_id: str, source: str, *, database: str, mapper_version: int | None = None
) -> Watermark | None:
    """The position, or None before anything was read of this source in this database.

    Args:
        connection: inside a transaction of the tenant.
        tenant_id: the tenant.
        source: the collection or relation.
        database: where it is. A position in another database means nothing.
        mapper_version: version of the mapping with which everything must have been read; None for any.
    """
    values = {"tenant": tenant_id, "source": source, "database": database, "version": mapper_version}
    row = connection.execute(statement("ops", "watermark"), values).fetchone()
    return Watermark(*row) if row else None


def write(
    connection: psycopg.Connection,
    tenant_id: str,
    source: str,
    watermark: Watermark,
    *,
    database: str,
    mapper_version: int | None = None,
) -> None:
    """Move the position, forwards or, when a full read follows a restore of the source, back."""
    values = {"tenant": tenant_id, "source": source, "database": database, "version": mapper_version}
    connection.execute(statement("ops", "move_watermark"), {**values, **vars(watermark)})


def forget(connection: psycopg.Connection, tenant_id: str, source: str) -> None:
    """Forget the position: the next run reads the source from its beginning."""
    connection.execute(
        "UPDATE ops.sync_watermark SET stamp = NULL, document_key = NULL WHERE tenant_id = %s AND source = %s",
        [tenant_id, source],
    )


def succeeded(
    connection: psycopg.Connection,
    tenant_id: str,
    source: str,
    source_count: int,
    *,
    undated_count: int | None = None,
    mapper_version: int | None = None,
) -> None:
    """Note that the source was read to its end.

    Args:
        connection: inside a transaction of the tenant.
        tenant_id: the tenant.
        source: the collection or relation.
        source_count: number of documents that it had.
        undated_count: number of those whose timestamp is not a moment or lies in the future.
        mapper_version: version of the mapping that all its rows have now.
    """
    counts = {"source_count": source_count, "undated_count": undated_count}
    values = {"tenant": tenant_id, "source": source, "version": mapper_version, **counts}
    connection.execute(statement("ops", "note_success"), values)


def states(connection: psycopg.Connection, tenant_id: str) -> list[SyncState]:
    """The state of each source of this tenant."""
    query = (
        "SELECT source, stamp, last_success_at, source_count, undated_count FROM ops.sync_watermark"
        " WHERE tenant_id = %s ORDER BY source"
    )
    with connection.cursor(row_factory=class_row(SyncState)) as cursor:
        return cursor.execute(query, [tenant_id]).fetchall()
