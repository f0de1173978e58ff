"""Checks of the room's data after each run."""

from datetime import date

import dagster as dg
import psycopg

from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration.automation import AFTER_ASSETS
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.tenant_runs import check_each_partition, tenant_check
from cdp_platform.referrals import metrics
from cdp_platform.referrals.defs.assets import WORKSHEETS, daily_metrics, days_of, tenant_months
from cdp_platform.referrals.ledger import last_export
from cdp_platform.referrals.worksheets import RAW_DATA
from cdp_platform.warehouse.connection import tenant_transaction


@dg.asset_check(
    op_tags=AFTER_ASSETS,
    asset=daily_metrics,
    partitions_def=tenant_months,
    description="Every event of the month is in the figures once, either as a click or signup, or as flagged.",
)
def counts_every_event(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Leaves out days that events touched since they were counted: they are counted again."""

    def examine(key: str) -> dg.AssetCheckResult:
        month, tenant_id = key.split("|")
        tenant = tenants.get(connection, tenant_id)
        found = metrics.audit(connection, tenant, *days_of(date.fromisoformat(month)))
        return dg.AssetCheckResult(
            passed=found.events == found.counted,
            metadata={"events": found.events, "counted": found.counted, "days_touched_since": found.days_touched},
            description=None
            if found.events == found.counted
            else f"{found.events:,} events, and {found.counted:,} in the figures. Materialize the month again; if the "
            "check still fails, something else than the platform writes to daily_metrics.",
        )

    with warehouse.connect() as connection:
        return check_each_partition(context, examine)


@tenant_check(WORKSHEETS[RAW_DATA].key, "The last export of the tenant arrived.")
def delivered(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
    """Reads the ledger only. The next export sees what people changed in the spreadsheet."""
    with tenant_transaction(connection, tenant.tenant_id):
        last = last_export(connection, tenant.tenant_id)
    if last is None:
        return dg.AssetCheckResult(passed=True, description="Nothing was exported yet.")
    return dg.AssetCheckResult(
        passed=last.arrived,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "state": last.state,
            "snapshot": str(last.snapshot_at),
            "link": dg.MetadataValue.url(last.link),
        },
        description=None
        if last.arrived
        else f"The last export is {last.state}: {last.reason}. The next one asks the spreadsheet what arrived.",
    )


CHECKS = [counts_every_event, delivered]
