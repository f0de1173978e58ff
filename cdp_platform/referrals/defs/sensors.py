"""Sensors and schedules of the room: new events, and the morning of each tenant's time zone."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import dagster as dg

from cdp_platform import settings
from cdp_platform.ops import tenants
from cdp_platform.ops.looks import Source
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration import partitions, run_limits
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.run_limits import MAX_RUNS
from cdp_platform.orchestration.schedules import not_requested_before
from cdp_platform.orchestration.watch import Watch
from cdp_platform.referrals.defs import assets
from cdp_platform.referrals.defs.resources import TrackerResource
from cdp_platform.referrals.spreadsheets import asked_for
from cdp_platform.referrals.tracker import latest_stamps
from cdp_platform.referrals.worksheets import RAW_DATA

# Late enough that the worksheets show the whole day before.
_MORNING = time(1)

metrics_job = dg.define_asset_job(
    "referrals_metrics",
    selection=dg.AssetSelection.assets(assets.daily_metrics),
    description="Counts the days of a tenant's month again, or of a range of tenants and months.",
)
raw_job = dg.define_asset_job(
    "referrals_raw",
    selection=dg.AssetSelection.assets(assets.tracker_events, assets.WORKSHEETS[RAW_DATA].key),
    description="Reads the tracker's events and appends them to the worksheet of raw data.",
)
worksheets_job = dg.define_asset_job(
    "referrals_worksheets",
    selection=dg.AssetSelection.assets(assets.tracker_events, *(spec.key for spec in assets.WORKSHEETS.values())),
    description="Reads the tracker's events and writes all four worksheets, from one snapshot and in one change.",
)


@dg.sensor(
    jobs=[metrics_job, raw_job],
    minimum_interval_seconds=900,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every 15 minutes: counts the days that events touched, and appends new events to the raw data. It has "
    "at most three runs that have not ended.",
)
def referral_events(
    context: dg.SensorEvaluationContext, warehouse: WarehouseResource, tracker: TrackerResource
) -> dg.SensorResult | dg.SkipReason:
    """Look once at all tenants, here and in the tracker's own database if it has one."""
    there: dict[str, str] = {}
    if tracker.is_set:
        with tracker.open() as database:
            there = latest_stamps(database)
    with warehouse.connect() as connection:
        active = {tenant.tenant_id: tenant for tenant in tenants.registered(connection) if tenant.active}
        rows = connection.execute("SELECT tenant_id, touched, new_events FROM referrals.waiting()").fetchall()
        watched = {tenant_id: Source(tenant_id, "tracker") for tenant_id in there if tenant_id in active}
        watch = Watch(connection, referral_events.name, context.cursor, watched)
        moved = {tenant_id for tenant_id in watched if watch.seen.get(tenant_id) != there[tenant_id]}
        known = partitions.known(context.instance)
        touched = {
            tenant_id: months_of(active[tenant_id], quarters)
            for tenant_id, quarters, _ in rows
            if tenant_id in known and tenant_id in active
        }
        busy = partitions.busy(context.instance, {raw_job.name, worksheets_job.name})
        exported = with_spreadsheet(active.values())
        raw = {tenant_id for tenant_id, _, new in rows if new and tenant_id in exported}
        # The same run reads the tracker's new rows first, also for tenants without a spreadsheet.
        raw |= moved
        runs_left = run_limits.left_for(context.instance, referral_events.name)
        # At least one run is left for the months, which count the events that these runs read.
        raw_runs = partitions.ranges(known, raw - busy, at_most=max(0, runs_left - bool(touched)))
        month_runs = month_ranges(known, touched, at_most=runs_left - len(raw_runs))
        # The next tick looks again at a tenant that is in a run now, or for which no run was asked yet.
        later = busy | raw.difference(*raw_runs)
        for tenant_id in watched.keys() - later:
            watch.saw(tenant_id, there[tenant_id], changed=tenant_id in moved)
        cursor = watch.cursor()
    requests = [
        *(dg.RunRequest(job_name=raw_job.name, tags=partitions.range_tags(keys)) for keys in raw_runs),
        *(dg.RunRequest(job_name=metrics_job.name, tags=partitions.range_tags(ends)) for ends in month_runs),
    ]
    return dg.SensorResult(
        run_requests=requests,
        asset_events=[
            dg.AssetMaterialization(assets.tracker_database.key, partition=tenant_id)
            for tenant_id in known
            if tenant_id in moved - later
        ],
        cursor=cursor,
        skip_reason=None if requests else f"{len(active)} tenants have no new event, or a run.",
    )


def months_of(tenant: Tenant, quarters: Collection[datetime]) -> set[date]:
    """The months of the tenant's time zone in which these quarters of an hour lie."""
    zone = ZoneInfo(tenant.time_zone)
    # The first partition also has everything before it.
    return {max(quarter.astimezone(zone).date().replace(day=1), assets.FIRST_MONTH) for quarter in quarters}


def month_ranges(
    known: Sequence[str], touched: Mapping[str, Collection[date]], *, at_most: int = MAX_RUNS
) -> list[list[str]]:
    """The ends of at most ``at_most`` ranges of (month, tenant) partitions that cover everything that was touched.

    A range covers all months between the months of its ends, for all tenants between the tenants of its ends.
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
    """The tenants that have a spreadsheet. Settings are not validated: a bad one must not stop other tenants."""
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
    """One run a day for all tenants that have the same date, also after a pause."""
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
    if not requests:
        return dg.SkipReason("No tenant has a spreadsheet.")
    return not_requested_before(context.instance, requests) or dg.SkipReason("Today's runs were requested before.")


def last_morning(tenant: Tenant, now: datetime) -> date:
    """The tenant's local date at the last 01:00 there."""
    zone = ZoneInfo(tenant.time_zone)
    today = now.astimezone(zone).date()
    # Where the clock skips 01:00, the day begins right after the skip.
    begins = datetime.combine(today, _MORNING, zone).astimezone(UTC)
    return today if begins <= now else date.fromordinal(today.toordinal() - 1)
