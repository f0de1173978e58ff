"""How each reading of a feed went, what a person allowed, and which version of each file was taken last.

Grain of ``catalog.feed_round``: one row per reading of an organization's feed that changed something, was stopped or
failed. Registries have rounds too, with an empty organization; their items are organizations and brands. Grain of
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

from cdp_platform.catalog.sources.contract import Validators
from cdp_platform.errors import ConfigurationError
from cdp_platform.warehouse.connection import tenant_transaction

LANDED = "landed"
UNCHANGED = "unchanged"
BLOCKED = "blocked"
FAILED = "failed"

# In place of an organization: the registry itself.
REGISTRY = ""


@dataclass
class FeedRound:
    """What a reading of a feed found and did, in items: product groups and products.

    ``items`` = ``new`` + ``changed`` + ``unchanged`` + ``rejected``.

    Attributes:
        generation: counts the rounds of an organization; 0 where nothing was to be written down.
        outcome: ``landed``, ``unchanged``, ``blocked`` (a person decides) or ``failed``; only the first changes rows.
        reason: why it was blocked or failed, and what to do.
        groups: live in the table as the round ended; likewise ``products`` and ``offers``.
        new: not live before.
        gone: live before and not in the feed.
        held: live before.
        remarks: what was noticed that cost no item, and how often.
        bytes: of the index and its shards.
        next_change_at: when the next of its prices begins or ends; the feed is then taken again, changed or not.
        approved_at: when a person allowed as much to vanish as this blocked round would have removed.
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

    @property
    def written(self) -> int:
        """How many items of the feed were written."""
        return self.new + self.changed if self.outcome == LANDED else 0


_COLUMNS = [each.name for each in fields(FeedRound)]


def record(connection: psycopg.Connection, tenant_id: str, found: FeedRound) -> None:
    """Write a round down, inside the transaction of what it did; gives it its generation."""
    if not found.generation:
        found.generation = next_generation(connection, tenant_id, found.organization_id, found.ingestor)
    values = {name: getattr(found, name) for name in _COLUMNS if name != "finished_at"}
    values |= {name: Jsonb(dict(Counter(values[name]).most_common())) for name in ("rejected_by_code", "remarks")}
    connection.execute(
        sql.SQL("INSERT INTO catalog.feed_round (tenant_id, {}) VALUES (%s, {})").format(
            sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join([sql.Placeholder()] * len(values))
        ),
        [tenant_id, *values.values()],
    )


def next_generation(connection: psycopg.Connection, tenant_id: str, organization_id: str, ingestor: str) -> int:
    """The number of an organization's next round, whoever reads it; of a registry's for each ingestor."""
    row = connection.execute(
        "SELECT coalesce(max(generation), 0) + 1 FROM catalog.feed_round"
        " WHERE tenant_id = %s AND organization_id = %s AND (organization_id <> '' OR ingestor = %s)",
        [tenant_id, organization_id, ingestor],
    ).fetchone()
    assert row is not None  # noqa: S101 (one row always)
    return int(row[0])


def last(connection: psycopg.Connection, tenant_id: str, ingestor: str) -> list[FeedRound]:
    """The newest round of the ingestor's registry, if it has any, and of each of its organizations."""
    query = sql.SQL(
        "SELECT DISTINCT ON (organization_id) {} FROM catalog.feed_round WHERE tenant_id = %s AND ingestor = %s"
        " ORDER BY organization_id, generation DESC"
    ).format(sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)))
    with tenant_transaction(connection, tenant_id), connection.cursor(row_factory=class_row(FeedRound)) as cursor:
        return cursor.execute(query, [tenant_id, ingestor]).fetchall()


def approve(
    connection: psycopg.Connection, tenant_id: str, ingestor: str, organization_id: str | None = None
) -> list[FeedRound]:
    """Allow the next round to remove as much as the blocked one would have; returns the rounds that waited.

    Raises:
        ConfigurationError: nothing waits.
    """
    waiting = [
        found
        for found in last(connection, tenant_id, ingestor)
        if organization_id in {None, found.organization_id}
        and (found.outcome == BLOCKED or _blocked_before(connection, tenant_id, found) is not None)
    ]
    if not waiting:
        raise ConfigurationError(
            f"No feed of ingestor {ingestor} waits for approval. `cdp catalog report` shows how the last round went."
        )
    with tenant_transaction(connection, tenant_id):
        for found in waiting:
            connection.execute(
                "UPDATE catalog.feed_round SET approved_at = now() WHERE tenant_id = %s AND ingestor = %s"
                " AND organization_id = %s AND outcome = 'blocked' AND generation = ("
                " SELECT max(generation) FROM catalog.feed_round WHERE tenant_id = %s AND ingestor = %s"
                " AND organization_id = %s AND outcome <> 'failed')",
                [tenant_id, ingestor, found.organization_id] * 2,
            )
    return waiting


def approved(connection: psycopg.Connection, tenant_id: str, ingestor: str, organization_id: str) -> int | None:
    """How many items a person allowed to vanish in the next round; None where nobody did."""
    row = connection.execute(
        "SELECT gone, approved_at FROM catalog.feed_round"
        " WHERE tenant_id = %s AND ingestor = %s AND organization_id = %s AND outcome <> 'failed'"
        " ORDER BY generation DESC LIMIT 1",
        [tenant_id, ingestor, organization_id],
    ).fetchone()
    return row[0] if row and row[1] else None


def known_files(
    connection: psycopg.Connection,
    tenant_id: str,
    ingestor: str,
    organization_id: str,
    *,
    rules: str,
    now: datetime,
) -> dict[str, Validators]:
    """The files of a feed as they were last taken under the same rules, by path.

    Empty where every file has to be read again. After a round that was stopped or failed, the tables are the same, but
    the report has to say how things are now. After the moment at which a price begins or ends, the same file means
    another price.
    """
    newest = connection.execute(
        "SELECT outcome, next_change_at FROM catalog.feed_round"
        " WHERE tenant_id = %s AND ingestor = %s AND organization_id = %s"
        " ORDER BY generation DESC LIMIT 1",
        [tenant_id, ingestor, organization_id],
    ).fetchone()
    if newest is None or newest[0] != LANDED or (newest[1] is not None and newest[1] <= now):
        return {}
    rows = connection.execute(
        "SELECT path, etag, last_modified, size, digest FROM catalog.feed_state"
        " WHERE tenant_id = %s AND ingestor = %s AND organization_id = %s AND rules = %s",
        [tenant_id, ingestor, organization_id, rules],
    ).fetchall()
    return {path: Validators(*validators) for path, *validators in rows}


def note_files(
    connection: psycopg.Connection,
    tenant_id: str,
    ingestor: str,
    organization_id: str,
    files: Mapping[str, Validators],
    *,
    rules: str,
) -> None:
    """Keep which files were taken, inside the transaction that took them."""
    connection.execute(
        "DELETE FROM catalog.feed_state WHERE tenant_id = %s AND ingestor = %s AND organization_id = %s"
        " AND path <> ALL (%s)",
        [tenant_id, ingestor, organization_id, list(files)],
    )
    connection.execute(
        """
        INSERT INTO catalog.feed_state
            (tenant_id, ingestor, organization_id, path, etag, last_modified, size, digest, rules)
        SELECT %s, %s, %s, path, etag, last_modified, size, digest, %s
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[])
            AS f (path, etag, last_modified, size, digest)
        ON CONFLICT (tenant_id, ingestor, organization_id, path) DO UPDATE SET
            etag = excluded.etag, last_modified = excluded.last_modified, size = excluded.size,
            digest = excluded.digest, rules = excluded.rules, taken_at = now()
        """,
        [
            *(tenant_id, ingestor, organization_id, rules, list(files)),
            *([getattr(each, name) for each in files.values()] for name in ("etag", "last_modified", "size", "digest")),
        ],
    )


def _blocked_before(connection: psycopg.Connection, tenant_id: str, found: FeedRound) -> int | None:
    """The generation of a blocked round that only failed ones came after."""
    with tenant_transaction(connection, tenant_id):
        row = connection.execute(
            "SELECT generation, outcome FROM catalog.feed_round WHERE tenant_id = %s AND ingestor = %s"
            " AND organization_id = %s AND outcome <> 'failed' ORDER BY generation DESC LIMIT 1",
            [tenant_id, found.ingestor, found.organization_id],
        ).fetchone()
    return row[0] if row and row[1] == BLOCKED else None
