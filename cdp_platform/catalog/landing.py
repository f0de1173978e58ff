"""How a feed becomes rows: it is read whole, staged beside the tables, and merged in one transaction.

Until that transaction nothing of the catalogue changes. It writes rows that are new or changed, removes rows of items
that vanished, and records rejected items, the round, and the version of each file.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from cdp_platform.catalog import registries, rounds, shards
from cdp_platform.catalog.brands import Brands
from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.errors import IngestorError, InvalidDocumentError, ProcessingError
from cdp_platform.catalog.feed import read_feed
from cdp_platform.catalog.items import DISOWNED
from cdp_platform.catalog.prices import ONLY_OTHER_PRICES
from cdp_platform.catalog.rounds import BLOCKED, LANDED, FeedRound
from cdp_platform.catalog.sources.contract import Source, Validators
from cdp_platform.catalog.staging import Stage
from cdp_platform.errors import BlockedError, BusyError, PlatformError
from cdp_platform.ops import locks, rejected
from cdp_platform.ops.brake import Brake
from cdp_platform.ops.rejected import Rejection
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

# Up to this number of items a removal is blocked only if no item of the feed is left.
_FREE = 10
# Rejected items per read of the staging tables.
_PAGE = 1000


def take_feeds(connection: psycopg.Connection, source: Source, ingestor: Ingestor) -> list[FeedRound]:
    """Take the feed of every organization of an ingestor; a feed that cannot be taken does not stop the others.

    Raises:
        PlatformError: the error of the first feed that could not be taken, after all were tried.
    """
    found, errors = [], []
    for organization_id, path in registries.feeds(connection, source, ingestor):
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
        path: of the index; None if the organization left the registry.
        now: start of the round, and the moment for which prices are chosen; the present one if not given.

    Returns:
        The round. If every file is as it was last taken, nothing is written, and the round is not recorded.

    Raises:
        UnreadableError: the feed could not be read whole. This and the next three errors are recorded as rounds; no
            product changed.
        InvalidDocumentError: what was read is no feed, or belongs to another organization.
        ProcessingError: PostgreSQL refused what was read.
        BlockedError: too many items would vanish; `rounds.approve` allows it to the next round.
        BusyError: another round of the organization did not end in time, or the registry changed; nothing was recorded.
    """
    found = FeedRound(organization_id, ingestor.name, started_at=now or datetime.now(UTC))
    with locks.held(connection, locks.feed(ingestor.tenant, organization_id)):
        brands = _brands(connection, ingestor.tenant, organization_id)
        try:
            _take(connection, source, ingestor, path, brands=brands, found=found)
        except IngestorError as error:
            rounds.record_failure(connection, ingestor.tenant, found, error)
            raise
        except psycopg.Error as error:
            if connection.closed:
                raise
            # PostgreSQL's own message may contain values of the feed.
            refused = ProcessingError(
                f"PostgreSQL refused what was read ({type(error).__name__}, {error.sqlstate}). Nothing of the feed was"
                " stored; the server's log says why."
            )
            rounds.record_failure(connection, ingestor.tenant, found, refused)
            raise refused from error
    if found.outcome == BLOCKED:
        raise BlockedError(found.reason)
    return found


def _take(
    connection: psycopg.Connection,
    source: Source,
    ingestor: Ingestor,
    path: str | None,
    *,
    brands: Brands,
    found: FeedRound,
) -> None:
    stage = Stage(connection, ingestor.tenant, found.organization_id, brands, found.started_at)
    if path is None:
        with stage.tables():
            _land(connection, ingestor, stage, brands=brands, found=found, files=None)
        return
    known = rounds.known_files(connection, ingestor.tenant, found, rules=brands.rules.hex())
    with read_feed(source, path, organization_id=found.organization_id, limits=ingestor.limits, known=known) as feed:
        found.shards, found.bytes = len(feed.index.shards), feed.size
        if feed.unchanged:
            return
        with stage.tables():
            for number, (what, content) in enumerate(feed.shards(), start=1):
                stage.take(number, shards.read_shard(content, what))
                if stage.items > ingestor.limits.max_items:
                    raise InvalidDocumentError(
                        f"The feed has more than {ingestor.limits.max_items} items (max_items). Raise it if the number"
                        " is right."
                    )
            _land(connection, ingestor, stage, brands=brands, found=found, files=feed.files)


def _land(
    connection: psycopg.Connection,
    ingestor: Ingestor,
    stage: Stage,
    *,
    brands: Brands,
    found: FeedRound,
    files: Mapping[str, Validators] | None,
) -> None:
    """Merge what was staged, in the one transaction that writes."""
    tenant_id, organization_id = ingestor.tenant, found.organization_id
    with tenant_transaction(connection, tenant_id):
        # Ownership does not change until this transaction ends.
        locks.share(connection, locks.registry(tenant_id))
        if _brands(connection, tenant_id, organization_id).rules != brands.rules:
            raise BusyError("The registry changed while the feed was read. Nothing was taken; the next round reads it.")
        # The planner has no statistics of rows that this transaction writes, and would assume a few.
        connection.execute("SET LOCAL enable_nestloop = off")
        stage.settle()
        found.generation = rounds.next_generation(connection, tenant_id, found)
        values = {
            "tenant": tenant_id,
            "organization": organization_id,
            "generation": found.generation,
            "now": found.started_at,
            "disowned": sorted(DISOWNED),
        }
        _count(connection, values, found)
        allowed = rounds.approved(connection, tenant_id, found)
        found.reason = _too_much(found, ingestor, listed=files is not None)
        if found.reason is None or (allowed is not None and found.gone <= allowed):
            found.outcome, found.reason = LANDED, None
            _write(connection, values)
            rounds.note_files(connection, tenant_id, found, files or {}, rules=brands.rules.hex())
        else:
            found.outcome = BLOCKED
        _reject(connection, ingestor, values)
        found.groups, found.products, found.offers, orphans, found.next_change_at = _one(
            connection, "count_live", values
        )
        found.remarks = dict(connection.execute(statement("catalog", "count_remarks"), values).fetchall())
        if orphans:
            found.remarks["group_not_in_feed"] = orphans
        rounds.record(connection, tenant_id, found)


def _count(connection: psycopg.Connection, values: dict[str, Any], found: FeedRound) -> None:
    found.items, found.new, found.changed, found.unchanged, found.rejected, found.gone, found.held = _one(
        connection, "count_items", values
    )
    found.rejected_by_code = dict(
        connection.execute(
            "SELECT code, count(*) FROM stage_entry WHERE code IS NOT NULL GROUP BY code ORDER BY 2 DESC, 1"
        ).fetchall()
    )


def _too_much(found: FeedRound, ingestor: Ingestor, *, listed: bool) -> str | None:
    """Why a person has to approve this round before it may change anything; None if nobody has to."""
    approve = f"If that is right: cdp catalog approve --ingestor {ingestor.name}."
    if not listed:
        return f"The registry no longer lists the organization, so all {found.held} items of it would vanish. {approve}"
    # An item whose prices have ended is valid, and keeps its row.
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
    """Write the new generation of the organization's rows; unchanged rows are not touched."""
    connection.execute(statement("catalog", "merge_groups"), values)
    _remove(connection, values, "product_group", "group_id", is_group=True)
    connection.execute(statement("catalog", "delete_offers"), values)
    connection.execute(statement("catalog", "merge_products"), values)
    connection.execute(statement("catalog", "insert_offers"), values)
    connection.execute(statement("catalog", "end_offers"), values)
    _remove(connection, values, "product", "product_id", is_group=False)
    connection.execute(statement("catalog", "remove_offers"), values)
    connection.execute(statement("catalog", "inherit"), values)
    connection.execute(statement("catalog", "categories"), values)
    connection.execute(statement("catalog", "brand_categories"), values)


def _remove(connection: psycopg.Connection, values: dict[str, Any], table: str, key: str, *, is_group: bool) -> None:
    query = statement("catalog", "remove_items").format(table=sql.Identifier("catalog", table), key=sql.Identifier(key))
    connection.execute(query, {**values, "is_group": is_group})


def _reject(connection: psycopg.Connection, ingestor: Ingestor, values: dict[str, Any]) -> None:
    """Record the rejected items, and resolve records of items that are no longer rejected."""
    after = 0
    while page := connection.execute(
        statement("catalog", "rejected"), {**values, "after": after, "page": _PAGE}
    ).fetchall():
        rejected.record(
            connection,
            ingestor.tenant,
            ingestor.rejected_source,
            [Rejection(key, code, path, message, document, []) for _, key, code, path, message, document in page],
        )
        after = page[-1][0]
    rounds.resolve_unseen(connection, ingestor, f"{values['organization']} shard ")


def _one(connection: psycopg.Connection, name: str, values: dict[str, Any]) -> Any:
    return connection.execute(statement("catalog", name), values).fetchone()


def _brands(connection: psycopg.Connection, tenant_id: str, organization_id: str) -> Brands:
    with tenant_transaction(connection, tenant_id):
        rows = connection.execute(
            "SELECT brand_id, name FROM catalog.brand"
            " WHERE tenant_id = %s AND organization_id = %s AND removed_at IS NULL",
            [tenant_id, organization_id],
        ).fetchall()
    return Brands(dict(rows))
