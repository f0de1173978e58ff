"""The checks of the room.

The share of rejected items is checked per ingestor after each run. Whether rounds were whole, and when the last ones
were, is checked hourly over all ingestors, because an ingestor without successful runs has no run that would check it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice

import dagster as dg
import psycopg
from croniter import croniter

from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.defs.assets import partitions_of
from cdp_platform.catalog.defs.round_checks import BRAND_REGISTRY, PRODUCT_FEED, WHOLE, examine_whole, last_rounds
from cdp_platform.orchestration.automation import AFTER_ASSETS
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.tenant_runs import check_each_partition

# Share of rejected items from which the check is an error: the feed, or the platform's reading of it, is broken.
REJECTED_SHARE_ERROR = 0.05

# Number of due times of an ingestor's schedule without a successful run from which the check warns or is an error.
STALE_WARN = 2
STALE_ERROR = 7

_ITEMS = {BRAND_REGISTRY: "organizations and brands", PRODUCT_FEED: "product groups and products"}


def per_run(ingestors: Sequence[Ingestor]) -> list[dg.AssetChecksDefinition]:
    """The checks that each run makes of its ingestors."""
    return [_rejected_share(asset, ingestors) for asset in (BRAND_REGISTRY, PRODUCT_FEED)]


def hourly(ingestors: Sequence[Ingestor]) -> list[dg.AssetChecksDefinition]:
    """The hourly checks over all ingestors."""
    return [*(_whole(asset, ingestors) for asset in (BRAND_REGISTRY, PRODUCT_FEED)), _staleness(ingestors)]


def _whole(asset: dg.AssetKey, ingestors: Sequence[Ingestor]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        op_tags=AFTER_ASSETS,
        asset=asset,
        name=WHOLE,
        description="The last rounds were taken whole: none failed, and none waits for `cdp catalog approve`. "
        "Reported by each run, and checked every hour.",
    )
    def whole(warehouse: WarehouseResource) -> dg.AssetCheckResult:
        with warehouse.connect() as connection:
            return examine_whole(connection, ingestors, asset)

    return whole


def _rejected_share(asset: dg.AssetKey, ingestors: Sequence[Ingestor]) -> dg.AssetChecksDefinition:
    by_name = {ingestor.name: ingestor for ingestor in ingestors}

    @dg.asset_check(
        op_tags=AFTER_ASSETS,
        asset=asset,
        name="rejected_share",
        partitions_def=partitions_of(ingestors),
        description=f"None of the {_ITEMS[asset]} was rejected in the last round: WARN for any, ERROR from "
        f"{REJECTED_SHARE_ERROR:.0%}.",
    )
    def rejected_share(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
        with warehouse.connect() as connection:
            return check_each_partition(context, lambda name: _examine_rejected(connection, by_name[name], asset))

    return rejected_share


def _examine_rejected(connection: psycopg.Connection, ingestor: Ingestor, asset: dg.AssetKey) -> dg.AssetCheckResult:
    last = last_rounds(connection, ingestor, asset)
    rejected, items = sum(each.rejected for each in last), sum(each.items for each in last)
    share = rejected / max(items, 1)
    return dg.AssetCheckResult(
        passed=rejected == 0,
        severity=dg.AssetCheckSeverity.ERROR if share >= REJECTED_SHARE_ERROR else dg.AssetCheckSeverity.WARN,
        metadata={"rejected": rejected, "items": items, "share": share},
        description=f"{rejected:,} of {items:,} were rejected: `cdp catalog report --ingestor {ingestor.name}` says"
        f" why, and `cdp rejected list --tenant {ingestor.tenant}` which. Their publisher can correct them."
        if rejected
        else None,
    )


def _staleness(ingestors: Sequence[Ingestor]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        op_tags=AFTER_ASSETS,
        asset=PRODUCT_FEED,
        name="staleness",
        description="Every ingestor with a schedule had a successful run lately: WARN after two due times without one, "
        "ERROR after seven.",
    )
    def staleness(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        now = datetime.now(UTC)
        stale: dict[str, datetime | None] = {}
        severe = False
        for ingestor in ingestors:
            if ingestor.schedule is None:
                continue
            last = _last_success(context.instance, ingestor)
            due = list(islice(croniter(ingestor.schedule, now, ret_type=datetime).all_prev(), STALE_ERROR))
            if last is None or last < due[STALE_WARN - 1]:
                stale[ingestor.name] = last
                severe = severe or (last is not None and last < due[-1])
        return dg.AssetCheckResult(
            passed=not stale,
            # Without the name Dagster reads it from its database.
            asset_key=PRODUCT_FEED,
            check_name="staleness",
            severity=dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
            metadata={"ingestors": len(ingestors), "stale": len(stale)},
            description="; ".join(
                f"{name}: {f'last taken {last:%Y-%m-%d %H:%M} UTC' if last else 'never taken'}"
                for name, last in stale.items()
            )
            or None,
        )

    return staleness


def _last_success(instance: dg.DagsterInstance, ingestor: Ingestor) -> datetime | None:
    # A run of an unchanged feed writes nothing to the warehouse, so its events in Dagster count.
    wanted = dg.AssetRecordsFilter(asset_key=PRODUCT_FEED, asset_partitions=[ingestor.name])
    for record in instance.fetch_materializations(wanted, limit=STALE_ERROR).records:
        made = record.asset_materialization
        # A skipped ingestor was not read.
        if made is not None and "skipped" not in made.metadata:
            return datetime.fromtimestamp(record.timestamp, UTC)
    return None
