"""How far each tenant's source has been read.

Grain of ``ops.sync_watermark``: one row per (tenant, source). The position is the greatest stamp that the source
itself gave, never the clock of this machine, and is written in the transaction of the rows that it covers.
"""

from dataclasses import dataclass
from datetime import datetime

import psycopg


@dataclass(frozen=True)
class Watermark:
    """A position in a source ordered by (stamp, key)."""

    stamp: str
    key: str


@dataclass(frozen=True)
class SyncState:
    """What is known of one source of one tenant; times in UTC, None before the first success.

    Attributes:
        source: the collection.
        stamp: the watermark.
        last_success_at: when it was last read to its end.
        source_count: documents that it then had.
        undated_count: of those, how many had a stamp that is no moment or lies in the future.
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
        connection: in a transaction of the tenant.
        tenant_id: whose.
        source: the collection or relation.
        database: where it is.
        mapper_version: also None unless everything was read with this version of the mapping; None for any version.
    """
    row = connection.execute(
        "SELECT stamp, document_key FROM ops.sync_watermark"
        " WHERE tenant_id = %(tenant)s AND source = %(source)s AND database = %(database)s AND stamp IS NOT NULL"
        " AND (%(version)s::int IS NULL OR mapper_version = %(version)s)",
        {"tenant": tenant_id, "source": source, "database": database, "version": mapper_version},
    ).fetchone()
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
    """Move the position, forwards or (a full read after a restore of the source) back."""
    connection.execute(
        """
        INSERT INTO ops.sync_watermark (tenant_id, source, database, stamp, document_key, mapper_version)
        VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (tenant_id, source) DO UPDATE
        SET database = excluded.database, stamp = excluded.stamp, document_key = excluded.document_key,
            moved_at = now(),
            -- While everything is read again, rows of the old version are left. A first reading has none.
            mapper_version = CASE WHEN sync_watermark.stamp IS NULL
                                       OR sync_watermark.database IS DISTINCT FROM excluded.database
                                  THEN excluded.mapper_version ELSE sync_watermark.mapper_version END
        """,
        [tenant_id, source, database, watermark.stamp, watermark.key, mapper_version],
    )


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
        connection: in a transaction of the tenant.
        tenant_id: whose.
        source: the collection or relation.
        source_count: documents that it had.
        undated_count: of those, how many have a stamp that is no moment or lies in the future.
        mapper_version: version of the mapping that all its rows have now.
    """
    connection.execute(
        """
        INSERT INTO ops.sync_watermark (tenant_id, source, last_success_at, source_count, undated_count, mapper_version)
        VALUES (%s, %s, now(), %s, %s, %s)
        ON CONFLICT (tenant_id, source) DO UPDATE
        SET last_success_at = excluded.last_success_at, source_count = excluded.source_count,
            undated_count = excluded.undated_count, mapper_version = excluded.mapper_version
        """,
        [tenant_id, source, source_count, undated_count, mapper_version],
    )


def states(connection: psycopg.Connection, tenant_id: str) -> list[SyncState]:
    """What is known of each source of this tenant."""
    rows = connection.execute(
        "SELECT source, stamp, last_success_at, source_count, undated_count FROM ops.sync_watermark"
        " WHERE tenant_id = %s ORDER BY source",
        [tenant_id],
    ).fetchall()
    return [SyncState(*row) for row in rows]
