"""Rounds: how each reading of a feed went, what a person approved, and which version of each file was taken last.

Grain of ``catalog.feed_round``: one row per reading of an organization's feed that changed rows, was blocked or failed.
Registries have rounds too, with an empty organization; their items are organizations and brands. Grain of
``catalog.feed_state``: one row per file as it was last taken.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.sources.contract import Validators
from cdp_platform.errors import ConfigurationError
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

LANDED = "landed"
UNCHANGED = "unchanged"
BLOCKED = "blocked"
FAILED = "failed"

# The organization of a registry's own rounds.
REGISTRY = ""


@dataclass
class FeedRound:
    """The result of one reading of a feed, counted in items: product groups and products.

    ``items`` = ``new`` + ``changed`` + ``unchanged`` + ``rejected``.

    Attributes:
        generation: number of the round within its organization, from 1; 0 for a round that was not recorded.
        outcome: ``landed``, ``unchanged``, ``blocked`` (a person decides) or ``failed``; only ``landed`` changes rows.
        reason: why it was blocked or failed, and what to do.
        groups: live rows of the table when the round ended; likewise ``products`` and ``offers``.
        new: items without a live row before.
        gone: items with a live row before that are not in the feed.
        held: items with a live row before.
        remarks: number of items with each peculiarity that was noticed and did not reject the item.
        bytes: size of the index and its shards.
        next_change_at: when the next price begins or ends; the feed is then taken again, changed or not.
        approved_at: when a person allowed as many items to vanish as this blocked round would have removed.
    """

    organization_id: str
    ingestor: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished_at: datetime | None = None
    generation: int = 0
    outcome: str = UNCHANGED
    reason: str | None = None
    items: int = 0
    groups: int = 0
    products: int = 0
    offers: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    gone: int = 0
    held: int = 0
    rejected_by_code: dict[str, int] = field(default_factory=dict)
    remarks: dict[str, int] = field(default_factory=dict)
    shards: int = 0
    bytes: int = 0
    next_change_at: datetime | None = None
    approved_at: datetime | None = None


_COLUMNS = [each.name for each in fields(FeedRound)]
_VALIDATORS = [each.name for each in fields(Validators)]


def record(connection: psycopg.Connection, tenant_id: str, found: FeedRound) -> None:
    """Insert a round, inside the transaction of what it did; sets its generation."""
    found.generation = found.generation or next_generation(connection, tenant_id, found)
    values = {name: getattr(found, name) for name in _COLUMNS if name != "finished_at"}
    values |= {name: Jsonb(dict(Counter(values[name]).most_common())) for name in ("rejected_by_code", "remarks")}
    connection.execute(
        sql.SQL("INSERT INTO catalog.feed_round (tenant_id, {}) VALUES (%s, {})").format(
            sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join([sql.Placeholder()] * len(values))
        ),
        [tenant_id, *values.values()],
    )


def record_failure(connection: psycopg.Connection, tenant_id: str, found: FeedRound, error: Exception) -> None:
    """Insert a round that failed with this error, in a transaction of its own."""
    found.outcome, found.reason = FAILED, str(error)
    with tenant_transaction(connection, tenant_id):
        record(connection, tenant_id, found)


def next_generation(connection: psycopg.Connection, tenant_id: str, found: FeedRound) -> int:
    """The number of the next round: of an organization over all ingestors, of a registry within its ingestor."""
    row = connection.execute(
        "SELECT coalesce(max(generation), 0) + 1 FROM catalog.feed_round"
        " WHERE tenant_id = %s AND organization_id = %s AND (organization_id <> '' OR ingestor = %s)",
        [tenant_id, found.organization_id, found.ingestor],
    ).fetchone()
    assert row is not None  # noqa: S101 (an aggregate returns one row)
    return int(row[0])


def last(connection: psycopg.Connection, tenant_id: str, ingestor: str) -> list[FeedRound]:
    """The newest round of the ingestor's registry, if it has any, and of each of its organizations."""
    return _rounds(connection, "last_rounds", tenant_id, ingestor)


def approve(connection: psycopg.Connection, tenant_id: str, ingestor: str) -> list[FeedRound]:
    """Allow the next rounds to remove as much as the blocked ones would have; returns the blocked rounds.

    A failed round after a blocked one does not end the wait for approval.

    Raises:
        ConfigurationError: no round waits.
    """
    if waiting := _rounds(connection, "approve_rounds", tenant_id, ingestor):
        return waiting
    raise ConfigurationError(
        f"No feed of ingestor {ingestor} waits for approval. `cdp catalog report` shows how the last round went."
    )


def approved(connection: psycopg.Connection, tenant_id: str, found: FeedRound) -> int | None:
    """The number of items that a person allowed this round to remove; None without an approval."""
    values = {"tenant": tenant_id, "ingestor": found.ingestor, "organization": found.organization_id}
    row = connection.execute(statement("catalog", "approved_items"), values).fetchone()
    return row[0] if row else None


def known_files(
    connection: psycopg.Connection, tenant_id: str, found: FeedRound, *, rules: str
) -> dict[str, Validators]:
    """The files of a feed as they were last taken under the same rules, by path; empty if every file is to be read.

    All files are read again after a round that was blocked or failed, because the report has to say how things are now,
    and once a price has begun or ended since, because the same file then means another price.
    """
    values = {
        "tenant": tenant_id,
        "ingestor": found.ingestor,
        "organization": found.organization_id,
        "rules": rules,
        "now": found.started_at,
    }
    with tenant_transaction(connection, tenant_id):
        rows = connection.execute(statement("catalog", "known_files"), values).fetchall()
    return {path: Validators(*validators) for path, *validators in rows}


def note_files(
    connection: psycopg.Connection, tenant_id: str, found: FeedRound, files: Mapping[str, Validators], *, rules: str
) -> None:
    """Record which files were taken, inside the transaction that took them."""
    values = {
        "tenant": tenant_id,
        "ingestor": found.ingestor,
        "organization": found.organization_id,
        "rules": rules,
        "paths": list(files),
    }
    values |= {f"{name}s": [getattr(each, name) for each in files.values()] for name in _VALIDATORS}
    connection.execute(statement("catalog", "forget_files"), values)
    connection.execute(statement("catalog", "note_files"), values)


def resolve_unseen(connection: psycopg.Connection, ingestor: Ingestor, key_prefix: str) -> None:
    """Resolve the rejected records of keys with this prefix that the present transaction did not write again."""
    connection.execute(
        "UPDATE ops.rejected_record SET resolved_at = now() WHERE tenant_id = %s AND source = %s"
        " AND resolved_at IS NULL AND last_seen_at < now() AND starts_with(document_key, %s)",
        [ingestor.tenant, ingestor.rejected_source, key_prefix],
    )


def _rounds(connection: psycopg.Connection, name: str, tenant_id: str, ingestor: str) -> list[FeedRound]:
    query = statement("catalog", name).format(columns=sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)))
    with tenant_transaction(connection, tenant_id), connection.cursor(row_factory=class_row(FeedRound)) as cursor:
        return cursor.execute(query, {"tenant": tenant_id, "ingestor": ingestor}).fetchall()
