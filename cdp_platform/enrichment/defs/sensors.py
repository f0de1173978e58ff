"""The sensor of paid searches, and the hourly reconciliation as a safety net."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import dagster as dg
import psycopg
from psycopg.rows import class_row

from cdp_platform.enrichment.defs import assets, checks
from cdp_platform.orchestration import partitions, run_limits
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.schedules import net
from cdp_platform.orchestration.watch import when_due

ENRICH = "enrichment_update"
enrichment_job = dg.define_asset_job(
    ENRICH,
    selection=dg.AssetSelection.assets(assets.enriched_contacts)
    - dg.AssetSelection.checks(checks.ledger_matches_account),
    description="Enriches the contacts of paid searches, settles calls whose answer was lost, and takes phone numbers, "
    "of a tenant or of a range of tenants in one run.",
)
account_job = dg.define_asset_job(
    "enrichment_account",
    selection=dg.AssetSelection.checks(checks.ledger_matches_account),
    description="Compares the credits that the provider counted with those of the ledger, over all tenants.",
)


@dataclass(frozen=True)
class Due:
    """One row of ``enrichment.due()``: a search of an active tenant that has something to do."""

    tenant_id: str
    search_id: UUID
    status: str
    due_at: datetime


@dg.sensor(
    job=enrichment_job,
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run as soon as a search is paid or can go on. One query looks at the searches of all "
    "tenants; a tick waits up to 45 seconds for the next payment.",
)
def paid_searches(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult | dg.SkipReason:
    """Look at what is due; if that is nothing, wait until something is, or until a search moves, and look again."""
    with warehouse.connect() as connection:

        def look() -> tuple[dg.SensorResult | dg.SkipReason, list[datetime]]:
            found = _open(connection)
            return _look(context.instance, found), [each.due_at for each in found]

        return when_due(connection, "enrichment_search", look)


def _open(connection: psycopg.Connection) -> list[Due]:
    with connection.cursor(row_factory=class_row(Due)) as cursor:
        return cursor.execute("SELECT * FROM enrichment.due() ORDER BY due_at").fetchall()


def _look(instance: dg.DagsterInstance, found: Sequence[Due]) -> dg.SensorResult | dg.SkipReason:
    now = datetime.now(UTC)
    known = partitions.known(instance)
    due = {each.tenant_id for each in found if each.due_at <= now and each.tenant_id in known}
    if not due:
        return dg.SkipReason(f"No search is due; {len(found)} are open.")
    waiting = due - partitions.busy(instance, {ENRICH}, known)
    if not waiting:
        return dg.SkipReason(f"The searches of {len(due)} tenants are in a run.")
    if run_limits.has_just_failed(instance, ENRICH):
        return dg.SkipReason("The last run failed; the next one waits a minute.")
    left = run_limits.left_for(instance, paid_searches.name)
    if not left:
        return dg.SkipReason(f"Searches of {len(waiting)} tenants wait until an earlier run ends.")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(tags=partitions.range_tags(keys)) for keys in partitions.ranges(known, waiting, at_most=left)
        ]
    )


enrichment_every_hour = net(
    "enrichment_every_hour",
    enrichment_job,
    cron="35 * * * *",
    description="Every hour, searches that the sensor missed, lost answers and phone numbers of every tenant.",
    subject=assets.GROUP,
)
account_every_day = dg.ScheduleDefinition(
    name="enrichment_account_every_day",
    job=account_job,
    cron_schedule="50 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Each day at 04:50 UTC.",
)
