"""How a feed becomes rows: read whole, laid out beside what is here, and moved in one transaction.

Until that transaction nothing of the catalogue changes, and after it everything of the feed is there: rows that are new
or changed, tombstones for what vanished, items that were rejected, the report of the round, and which files it was.
"""

from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from cdp_platform.catalog import items, rounds
from cdp_platform.catalog.brands import Brands
from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.errors import IngestorError, ProcessingError, ValidationError
from cdp_platform.catalog.feed import Feed, read_feed
from cdp_platform.catalog.indexes import read_index
from cdp_platform.catalog.items import DISOWNED
from cdp_platform.catalog.prices import ONLY_OTHER_PRICES
from cdp_platform.catalog.rounds import BLOCKED, FAILED, LANDED, UNCHANGED, FeedRound
from cdp_platform.catalog.sources.contract import Fetched, Source
from cdp_platform.catalog.staging import Stage
from cdp_platform.errors import BlockedError, BusyError, PlatformError
from cdp_platform.ops import locks, rejected
from cdp_platform.ops.brake import Brake
from cdp_platform.ops.rejected import Rejection
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

# Items that may vanish whatever share of all they are; more only up to the share that the ingestor allows.
_FREE = 10
_PAGE = 1000


def source_name(ingestor: str) -> str:
    """The source of an ingestor's rejected records."""
    return f"catalog:{ingestor}"


def feeds(connection: psycopg.Connection, source: Source, ingestor: Ingestor) -> list[tuple[str, str | None]]:
    """The organizations of an ingestor's registry that have a feed, with the path of its index.

    None for an organization that the registry lost while products of it are live: its next round has no items, and
    waits for a person.

    Raises:
        IngestorError: the ingestor names a feed, and it does not become clear whose it is.
    """
    with tenant_transaction(connection, ingestor.tenant):
        rows = connection.execute(
            """
            SELECT organization_id, feed_url, tombstoned_at IS NOT NULL FROM catalog.organization AS o
            WHERE tenant_id = %s AND ingestor = %s AND (
                tombstoned_at IS NULL
                OR EXISTS (SELECT FROM catalog.product AS p WHERE p.tenant_id = o.tenant_id
                           AND p.organization_id = o.organization_id AND p.tombstoned_at IS NULL)
                OR EXISTS (SELECT FROM catalog.product_group AS g WHERE g.tenant_id = o.tenant_id
                           AND g.organization_id = o.organization_id AND g.tombstoned_at IS NULL)
            ) ORDER BY organization_id
            """,
            [ingestor.tenant, ingestor.name],
        ).fetchall()
    lost = [(organization_id, None) for organization_id, _, gone in rows if gone]
    listed = [(organization_id, feed) for organization_id, feed, gone in rows if not gone]
    if ingestor.feed is not None:
        return lost + _feed_of_the_ingestor(source, ingestor, ingestor.feed, [each for each, _ in listed])
    return lost + [(organization_id, feed) for organization_id, feed in listed if feed is not None]


def take_feeds(connection: psycopg.Connection, source: Source, ingestor: Ingestor) -> list[FeedRound]:
    """Take the feed of every organization of an ingestor; one that cannot be taken holds up no other.

    Raises:
        PlatformError: of the first feed that could not be taken, after all were tried. Each has its round.
    """
    found, errors = [], []
    for organization_id, path in feeds(connection, source, ingestor):
        try:
            found.append(take_feed(connection, source, ingestor, organization_id, path))
        except PlatformError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return found


def take_feed(
    connection: psycopg.Connection,
    source: Source,
    ingestor: Ingestor,
    organization_id: str,
    path: str | None,
    *,
    now: datetime | None = None,
) -> FeedRound:
    """Bring one organization's catalogue in step with its feed, whole or not at all.

    Args:
        connection: of the platform's role, outside any transaction.
        source: of the ingestor.
        ingestor: whose registry lists the organization.
        organization_id: whose feed it is.
        path: of the index; None where the registry lost the organization.
        now: the moment whose prices are taken, and at which the round began; the present one if not given.

    Returns:
        What was done. Where every file is as it was last taken, nothing is written, not even the round.

    Raises:
        SourceError: the feed could not be read whole. This and the next three are rounds too; no product changed.
        ValidationError: what was read is no feed, or not this organization's.
        ProcessingError: PostgreSQL refused what was read.
        BlockedError: too much would vanish; `rounds.approve` lets the next round do it.
        BusyError: another round of the organization did not end in time; nothing was done.
    """
    found = FeedRound(organization_id, ingestor.name, started_at=now or datetime.now(UTC))
    with locks.held(connection, locks.feed(ingestor.tenant, organization_id)):
        brands = _brands(connection, ingestor.tenant, organization_id)
        try:
            _take(connection, source, ingestor, path, brands=brands, found=found)
        except IngestorError as error:
            _failed(connection, ingestor, found, error)
            raise
        except psycopg.Error as error:
            if connection.closed:
                raise
            # PostgreSQL's own words may hold values of the feed.
            refused = ProcessingError(
                f"PostgreSQL refused what was read ({type(error).__name__}, {error.sqlstate}). Nothing of the feed was"
                " stored; the server's log says why."
            )
            _failed(connection, ingestor, found, refused)
            raise refused from error
    if found.outcome == BLOCKED:
        raise BlockedError(found.reason)
    return found


def _failed(connection: psycopg.Connection, ingestor: Ingestor, found: FeedRound, error: IngestorError) -> None:
    found.outcome, found.reason = FAILED, str(error)
    with tenant_transaction(connection, ingestor.tenant):
        rounds.record(connection, ingestor.tenant, found)


def _take(
    connection: psycopg.Connection,
    source: Source,
    ingestor: Ingestor,
    path: str | None,
    *,
    brands: Brands,
    found: FeedRound,
) -> None:
    rules = brands.rules.hex()
    stage = Stage(connection, ingestor.tenant, found.organization_id, brands, found.started_at)
    if path is None:
        with stage.tables():
            _land(connection, ingestor, stage, brands=brands, found=found, feed=None)
        return
    with tenant_transaction(connection, ingestor.tenant):
        known = rounds.known_files(
            connection, ingestor.tenant, ingestor.name, found.organization_id, rules=rules, now=found.started_at
        )
    with read_feed(source, path, organization_id=found.organization_id, limits=ingestor.limits, known=known) as feed:
        found.shards, found.bytes = len(feed.index.shards), feed.size
        if feed.unchanged:
            found.outcome = UNCHANGED
            return
        with stage.tables():
            for number, (what, content) in enumerate(feed.shards(), start=1):
                stage.take(number, items.read_shard(content, what))
                if stage.items > ingestor.limits.max_items:
                    raise ValidationError(
                        f"The feed has more than {ingestor.limits.max_items} items (max_items). Raise it if it may."
                    )
            _land(connection, ingestor, stage, brands=brands, found=found, feed=feed)


def _land(
    connection: psycopg.Connection,
    ingestor: Ingestor,
    stage: Stage,
    *,
    brands: Brands,
    found: FeedRound,
    feed: Feed | None,
) -> None:
    """The one transaction that writes."""
    tenant_id, organization_id = ingestor.tenant, found.organization_id
    with tenant_transaction(connection, tenant_id):
        # Who owns what stays as it is until this is committed.
        locks.share(connection, locks.registry(tenant_id))
        if _brands(connection, tenant_id, organization_id).rules != brands.rules:
            raise BusyError("The registry changed while the feed was read. Nothing was taken; the next round reads it.")
        # Nothing is known yet of what this transaction itself writes, and the planner would take it for a few rows.
        connection.execute("SET LOCAL enable_nestloop = off")
        stage.settle()
        found.generation = rounds.next_generation(connection, tenant_id, organization_id, ingestor.name)
        values = {
            "tenant": tenant_id,
            "organization": organization_id,
            "generation": found.generation,
            "now": found.started_at,
            "disowned": sorted(DISOWNED),
        }
        _count(connection, values, found)
        allowed = rounds.approved(connection, tenant_id, ingestor.name, organization_id)
        found.reason = _too_much(found, ingestor, listed=feed is not None)
        if found.reason is None or (allowed is not None and found.gone <= allowed):
            found.outcome, found.reason = LANDED, None
            _write(connection, values)
            files = feed.files if feed is not None else {}
            rounds.note_files(connection, tenant_id, ingestor.name, organization_id, files, rules=brands.rules.hex())
        else:
            found.outcome = BLOCKED
        _reject(connection, ingestor, values)
        found.groups, found.products, found.offers, orphans, found.next_change_at = _one(connection, "live", values)
        found.remarks = dict(connection.execute(statement("catalog", "remarks"), values).fetchall())
        if orphans:
            found.remarks["group_not_in_feed"] = orphans
        rounds.record(connection, tenant_id, found)


def _count(connection: psycopg.Connection, values: dict[str, Any], found: FeedRound) -> None:
    found.items, found.new, found.changed, found.unchanged, found.rejected, found.gone, found.held = _one(
        connection, "counts", values
    )
    found.rejected_by_code = dict(
        connection.execute(
            "SELECT code, count(*) FROM stage_entry WHERE code IS NOT NULL GROUP BY code ORDER BY 2 DESC, 1"
        ).fetchall()
    )


def _too_much(found: FeedRound, ingestor: Ingestor, *, listed: bool) -> str | None:
    """Why a person has to look before this round may change anything."""
    approve = f"If that is right: cdp catalog approve --ingestor {ingestor.name}."
    if not listed:
        return f"The registry no longer lists the organization, so all {found.held} items of it would vanish. {approve}"
    # An item whose prices are over was understood, and nothing of it vanishes.
    if found.items == found.rejected and ONLY_OTHER_PRICES not in found.rejected_by_code:
        return (
            f"None of the {found.items} items of the feed can be taken, so all {found.held} that are here would vanish."
            f" `cdp catalog report` says why. {approve}"
        )
    brake = Brake(max_share=ingestor.limits.max_share_gone, free=_FREE)
    if brake.stops(found.gone, found.held):
        return (
            f"{found.gone} of {found.held} items would vanish, more than max_share_gone"
            f" ({brake.max_share:.0%}). {approve}"
        )
    return None


def _write(connection: psycopg.Connection, values: dict[str, Any]) -> None:
    """Move the organization to the new generation; a row that is unchanged is not touched."""
    connection.execute(statement("catalog", "merge_groups"), values)
    _tombstone(connection, values, "product_group", "group_id", is_group=True)
    connection.execute(statement("catalog", "delete_offers"), values)
    connection.execute(statement("catalog", "merge_products"), values)
    connection.execute(statement("catalog", "insert_offers"), values)
    connection.execute(statement("catalog", "end_offers"), values)
    _tombstone(connection, values, "product", "product_id", is_group=False)
    connection.execute(statement("catalog", "tombstone_offers"), values)
    connection.execute(statement("catalog", "inherit"), values)
    connection.execute(statement("catalog", "categories"), values)
    connection.execute(statement("catalog", "brand_categories"), values)


def _tombstone(connection: psycopg.Connection, values: dict[str, Any], table: str, key: str, *, is_group: bool) -> None:
    query = statement("catalog", "tombstone").format(table=sql.Identifier("catalog", table), key=sql.Identifier(key))
    connection.execute(query, {**values, "is_group": is_group})


def _reject(connection: psycopg.Connection, ingestor: Ingestor, values: dict[str, Any]) -> None:
    """Keep what was rejected, page by page; what was rejected before and is not any more is done."""
    after = 0
    while page := connection.execute(
        statement("catalog", "rejected"), {**values, "after": after, "page": _PAGE}
    ).fetchall():
        rejected.record(
            connection,
            ingestor.tenant,
            source_name(ingestor.name),
            [Rejection(key, code, path, message, document, []) for _, key, code, path, message, document in page],
        )
        after = page[-1][0]
    connection.execute(
        "UPDATE ops.rejected_record SET resolved_at = now() WHERE tenant_id = %s AND source = %s"
        " AND resolved_at IS NULL AND last_seen_at < now() AND starts_with(document_key, %s)",
        [ingestor.tenant, source_name(ingestor.name), f"{values['organization']} shard "],
    )


def _one(connection: psycopg.Connection, name: str, values: dict[str, Any]) -> Any:
    return connection.execute(statement("catalog", name), values).fetchone()


def _brands(connection: psycopg.Connection, tenant_id: str, organization_id: str) -> Brands:
    with tenant_transaction(connection, tenant_id):
        rows = connection.execute(
            "SELECT brand_id, name FROM catalog.brand"
            " WHERE tenant_id = %s AND organization_id = %s AND tombstoned_at IS NULL",
            [tenant_id, organization_id],
        ).fetchall()
    return Brands(dict(rows))


def _feed_of_the_ingestor(
    source: Source, ingestor: Ingestor, feed: str, listed: list[str]
) -> list[tuple[str, str | None]]:
    path = source.resolve("", feed)
    if len(listed) == 1:
        return [(listed[0], path)]
    fetched = source.read(path, max_bytes=ingestor.limits.max_shard_bytes)
    urn = (
        read_index(fetched.content, "The index of the feed").organization_urn if isinstance(fetched, Fetched) else None
    )
    if urn not in listed:
        raise ValidationError(
            f"Ingestor {ingestor.name} names a feed, and its registry {len(listed)} organizations; the index does not"
            " say which of them it is for. Leave feed_path out if the registry names the feeds."
        )
    return [(urn, path)]
