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
    """What is known of one source of one tenant; times in UTC, None before the first success."""

    source: str
    stamp: str | None
    last_success_at: datetime | None
    source_count: int | None


def read(connection: psycopg.Connection, tenant_id: str, source: str, *, database: str) -> Watermark | None:
    """The position, or None before anything was read of this source in this database."""
    row = connection.execute(
        "SELECT stamp, document_key FROM ops.sync_watermark"
        " WHERE tenant_id = %s AND source = %s AND database = %s AND stamp IS NOT NULL",
        [tenant_id, source, database],
    ).fetchone()
    return Watermark(*row) if row else None


def write(connection: psycopg.Connection, tenant_id: str, source: str, watermark: Watermark, *, database: str) -> None:
    """Move the position, forwards or (a full read after a restore of the source) back."""
    connection.execute(
        """
        INSERT INTO ops.sync_watermark (tenant_id, source, database, stamp, document_key) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (tenant_id, source) DO UPDATE
        SET database = excluded.database, stamp = excluded.stamp, document_key = excluded.document_key, moved_at = now()
        """,
        [tenant_id, source, database, watermark.stamp, watermark.key],
    )


def succeeded(connection: psycopg.Connection, tenant_id: str, source: str, source_count: int) -> None:
    """Note that the source was read to its end and how many documents it had."""
    connection.execute(
        """
        INSERT INTO ops.sync_watermark (tenant_id, source, last_success_at, source_count)
        VALUES (%s, %s, now(), %s)
        ON CONFLICT (tenant_id, source) DO UPDATE
        SET last_success_at = excluded.last_success_at, source_count = excluded.source_count
        """,
        [tenant_id, source, source_count],
    )


def states(connection: psycopg.Connection, tenant_id: str) -> list[SyncState]:
    """What is known of each source of this tenant."""
    rows = connection.execute(
        "SELECT source, stamp, last_success_at, source_count FROM ops.sync_watermark"
        " WHERE tenant_id = %s ORDER BY source",
        [tenant_id],
    ).fetchall()
    return [SyncState(*row) for row in rows]
