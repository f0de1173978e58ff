"""What has to hold of the room.

What was rejected is asked per ingestor after each run. Whether rounds were whole, and when the last ones were, is asked
of all ingestors at once every hour: of an ingestor whose runs fail, or that no run reaches any more, no run would ask.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice

import dagster as dg
import psycopg
from croniter import croniter

from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.defs.assets import partitions_of
from cdp_platform.catalog.defs.quality import BRAND_REGISTRY, PRODUCT_FEED, WHOLE, examine_whole, last_rounds
from cdp_platform.orchestration.automation import AFTER_ASSETS
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.tenant_runs import check_each_partition

# Any rejected item is worth a look; one in twenty means that the feed, or what is understood of it, is broken.
REJECTED_SHARE_ERROR = 0.05

# So many due times of an ingestor's schedule may pass without a run that worked.
STALE_WARN = 2
STALE_ERROR = 7

_ITEMS = {BRAND_REGISTRY: "organizations and brands", PRODUCT_FEED: "product groups and products"}


def per_run(ingestors: Sequence[Ingestor]) -> list[dg.AssetChecksDefinition]:
    """The checks that each run asks of its ingestors."""
    return [_rejected_share(asset, ingestors) for asset in (BRAND_REGISTRY, PRODUCT_FEED)]


def hourly(ingestors: Sequence[Ingestor]) -> list[dg.AssetChecksDefinition]:
    """The checks of all ingestors at once."""
    return [*(_whole(asset, ingestors) for asset in (BRAND_REGISTRY, PRODUCT_FEED)), _staleness(ingestors)]


def _whole(asset: dg.AssetKey, ingestors: Sequence[Ingestor]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        op_tags=AFTER_ASSETS,
        asset=asset,
        name=WHOLE,
        description="The last rounds were taken whole: none failed, and none waits for `cdp catalog approve`. Told by "
        "each run, and asked every hour.",
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
        f" why, and `cdp rejected list --tenant {ingestor.tenant}` which. Who publishes them can mend them."
        if rejected
        else None,
    )


def _staleness(ingestors: Sequence[Ingestor]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        op_tags=AFTER_ASSETS,
        asset=PRODUCT_FEED,
        name="staleness",
        description="Every ingestor with a schedule had a run that worked lately: WARN after two due times without, "
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
            # Named, or Dagster finds the name by a second look at its database.
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
    # An unchanged feed leaves nothing in the warehouse; Dagster knows that a run looked.
    wanted = dg.AssetRecordsFilter(asset_key=PRODUCT_FEED, asset_partitions=[ingestor.name])
    for record in instance.fetch_materializations(wanted, limit=STALE_ERROR).records:
        made = record.asset_materialization
        # A run that stepped aside looked at nothing.
        if made is not None and "skipped" not in made.metadata:
            return datetime.fromtimestamp(record.timestamp, UTC)
    return None
