"""Checks of each event after each run."""

from collections.abc import Callable

import dagster as dg
import psycopg

from cdp_platform.campaigns import report
from cdp_platform.campaigns.defs.event_assets import AUDIENCE, DELIVERIES
from cdp_platform.campaigns.defs.partitions import event_partitions, of_key
from cdp_platform.ops import tenants
from cdp_platform.orchestration.automation import AFTER_ASSETS
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.tenant_runs import check_each_partition


@dg.asset_check(
    asset=DELIVERIES.key,
    partitions_def=event_partitions,
    blocking=True,
    description="Each person of the audience is excluded, waits, or has one state of a delivery: the sums are right.",
)
def adds_up(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Fails for an event of which nothing more is sent: the run itself asks the same before it sends."""

    def examine(connection: psycopg.Connection, tenant_id: str, event_id: str) -> dg.AssetCheckResult:
        flaw = report.unsound(connection, tenants.get(connection, tenant_id), event_id)
        return dg.AssetCheckResult(passed=not flaw, description=flaw or None)

    return _each_event(context, warehouse, examine)


@dg.asset_check(
    op_tags=AFTER_ASSETS,
    asset=AUDIENCE.key,
    partitions_def=event_partitions,
    description="The event was not found later than its grace allows.",
)
def missed(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Tells a person of an event that was not sent."""

    def examine(connection: psycopg.Connection, tenant_id: str, event_id: str) -> dg.AssetCheckResult:
        found = report.of_event(connection, tenant_id, event_id)
        is_missed = found.status == "missed"
        return dg.AssetCheckResult(
            passed=not is_missed,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"Event {event_id} was due at {found.start_at:%Y-%m-%d %H:%M} UTC and found after its grace, "
            "so nothing was sent. Was the platform down? Plan another event if it is still wanted."
            if is_missed
            else None,
        )

    return _each_event(context, warehouse, examine)


@dg.asset_check(
    op_tags=AFTER_ASSETS,
    asset=DELIVERIES.key,
    partitions_def=event_partitions,
    description="Of every message it is known whether the provider took it.",
)
def unknown(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Tells a person of deliveries whose answer was lost."""

    def examine(connection: psycopg.Connection, tenant_id: str, event_id: str) -> dg.AssetCheckResult:
        number = report.of_event(connection, tenant_id, event_id).states["unknown"]
        return dg.AssetCheckResult(
            passed=not number,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"unknown": number},
            description=f"Of {number:,} messages of event {event_id} the answer was lost. The job campaigns_settle "
            "asks the provider where it can; of the rest, `cdp campaign resolve` takes the provider's log."
            if number
            else None,
        )

    return _each_event(context, warehouse, examine)


def _each_event(
    context: dg.AssetCheckExecutionContext,
    warehouse: WarehouseResource,
    examine: Callable[[psycopg.Connection, str, str], dg.AssetCheckResult],
) -> dg.AssetCheckResult:
    with warehouse.connect() as connection:
        return check_each_partition(context, lambda key: examine(connection, *of_key(key)))


CHECKS = [adds_up, missed, unknown]
