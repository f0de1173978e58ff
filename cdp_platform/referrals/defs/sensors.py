"""What makes the room run: events that came, each tenant's own morning, and the clock as the net beneath."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import dagster as dg

from cdp_platform import settings
from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration import partitions, run_limits
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.run_limits import MAX_RUNS
from cdp_platform.referrals import tracker
from cdp_platform.referrals.defs import assets
from cdp_platform.referrals.spreadsheets import asked_for
from cdp_platform.referrals.worksheets import RAW_DATA

# The worksheets of a day show the day before whole.
_MORNING = time(1)

metrics_job = dg.define_asset_job(
    "referrals_metrics",
    selection=dg.AssetSelection.assets(assets.daily_metrics),
    description="Counts the days of a tenant's month again, or of a range of tenants and months.",
)
raw_job = dg.define_asset_job(
    "referrals_raw",
    selection=dg.AssetSelection.assets(assets.tracker_events, assets.WORKSHEETS[RAW_DATA].key),
    description="Brings the tracker's events and appends them to the worksheet of raw data.",
)
worksheets_job = dg.define_asset_job(
    "referrals_worksheets",
    selection=dg.AssetSelection.assets(assets.tracker_events, *(spec.key for spec in assets.WORKSHEETS.values())),
    description="Brings the tracker's events and writes all four worksheets, from one snapshot and in one change.",
)


@dg.sensor(
    jobs=[metrics_job, raw_job],
    minimum_interval_seconds=900,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every 15 minutes: counts the days that events touched, and appends new events to the raw data. It has "
    "three runs at most that have not ended.",
)
def referral_events(
    context: dg.SensorEvaluationContext, warehouse: WarehouseResource
) -> dg.SensorResult | dg.SkipReason:
    """One look at all tenants, here and in the tracker's own database if it has one; the cursor is written last."""
    url = settings.referrals().referral_database_url.get_secret_value()
    seen: dict[str, str] = json.loads(context.cursor or "{}")
    there = tracker.changed(url) if url else {}
    moved = {tenant_id for tenant_id, stamp in there.items() if seen.get(tenant_id) != stamp}
    with warehouse.connect() as connection:
        active = {tenant.tenant_id: tenant for tenant in tenants.registered(connection) if tenant.active}
        rows = connection.execute("SELECT tenant_id, touched, new_events FROM referrals.waiting()").fetchall()
    known = partitions.known(context.instance)
    touched = {
        tenant_id: months_of(active[tenant_id], quarters)
        for tenant_id, quarters, _ in rows
        if tenant_id in known and tenant_id in active
    }
    busy = partitions.busy(context.instance, {raw_job.name, worksheets_job.name})
    exported = with_spreadsheet(active.values())
    raw = {tenant_id for tenant_id, _, new in rows if new and tenant_id in exported}
    # What is to be brought first is brought by the same run, also for those who have no spreadsheet.
    raw |= moved & active.keys()
    runs_left = run_limits.left_for(context.instance, referral_events.name)
    # One run at least is left for the months, which take in what these bring.
    raw_runs = partitions.ranges(known, raw - busy, at_most=max(0, runs_left - bool(touched)))
    month_runs = month_ranges(known, touched, at_most=runs_left - len(raw_runs))
    # A tenant that is in a run, or has none yet, is looked at again.
    later = busy | raw.difference(*raw_runs)
    requests = [
        *(dg.RunRequest(job_name=raw_job.name, tags=partitions.range_tags(keys)) for keys in raw_runs),
        *(dg.RunRequest(job_name=metrics_job.name, tags=partitions.range_tags(ends)) for ends in month_runs),
    ]
    cursor = {tenant_id: stamp for tenant_id, stamp in there.items() if tenant_id not in later}
    return dg.SensorResult(
        run_requests=requests,
        asset_events=[
            dg.AssetMaterialization(assets.tracker_database.key, partition=tenant_id)
            for tenant_id in known
            if tenant_id in moved & active.keys() - later
        ],
        cursor=json.dumps(seen | cursor),
        skip_reason=None if requests else f"{len(active)} tenants have no new event, or a run.",
    )


def months_of(tenant: Tenant, quarters: Collection[datetime]) -> set[date]:
    """The months, by the tenant's time zone, that have events in these quarters of an hour."""
    zone = ZoneInfo(tenant.time_zone)
    # The first partition has what came before it.
    return {max(quarter.astimezone(zone).date().replace(day=1), assets.FIRST_MONTH) for quarter in quarters}


def month_ranges(
    known: Sequence[str], touched: Mapping[str, Collection[date]], *, at_most: int = MAX_RUNS
) -> list[list[str]]:
    """The ends of ranges of (month, tenant) partitions that cover what was touched, in so many runs at most.

    A range covers the months from its first to its last, of the tenants from its first to its last.
    """
    by_month: dict[date, set[str]] = defaultdict(set)
    for tenant_id, months in touched.items():
        for month in months:
            by_month[month].add(tenant_id)
    found = [
        [f"{month}|{keys[0]}", f"{month}|{keys[-1]}"]
        for month, tenant_ids in sorted(by_month.items())
        for keys in partitions.ranges(known, tenant_ids)
    ]
    if len(found) <= at_most:
        return found
    return [
        [f"{min(months)}|{keys[0]}", f"{max(months)}|{keys[-1]}"]
        for keys in partitions.ranges(known, [each for each in touched if touched[each]], at_most=at_most)
        if (months := [month for tenant_id in keys for month in touched.get(tenant_id, ())])
    ]


def with_spreadsheet(everybody: Collection[Tenant]) -> set[str]:
    """The tenants that have a spreadsheet; as stored, since one bad setting is one tenant's trouble."""
    default = settings.google().google_sheet_id
    return {each.tenant_id for each in everybody if asked_for(each, default)}


@dg.schedule(
    job=worksheets_job,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="All four worksheets of each tenant, once a day, from 01:00 in its own time zone.",
)
def referrals_every_morning(
    context: dg.ScheduleEvaluationContext, warehouse: WarehouseResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """One run for all tenants that have the same date; the key keeps it to one a day, also after a pause."""
    with warehouse.connect() as connection:
        active = [tenant for tenant in tenants.registered(connection) if tenant.active]
    exported = with_spreadsheet(active)
    mornings: dict[date, set[str]] = defaultdict(set)
    for tenant in active:
        if tenant.tenant_id in exported:
            mornings[last_morning(tenant, context.scheduled_execution_time)].add(tenant.tenant_id)
    known = partitions.known(context.instance)
    requests = [
        dg.RunRequest(run_key=f"{assets.GROUP}-{day}-{keys[0]}-{keys[-1]}", tags=partitions.range_tags(keys))
        for day, tenant_ids in sorted(mornings.items())
        for keys in partitions.ranges(known, tenant_ids, at_most=MAX_RUNS)
    ]
    return requests or dg.SkipReason("No tenant has a spreadsheet.")


def last_morning(tenant: Tenant, now: datetime) -> date:
    """The tenant's date, of the last time that it was 01:00 there."""
    zone = ZoneInfo(tenant.time_zone)
    today = now.astimezone(zone).date()
    # Where clocks jump over 01:00, it is the moment after the jump.
    begins = datetime.combine(today, _MORNING, zone).astimezone(UTC)
    return today if begins <= now else date.fromordinal(today.toordinal() - 1)
