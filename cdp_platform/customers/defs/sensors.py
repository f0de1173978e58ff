"""Sensors and schedules of the room: changes in the source, and schedules as the safety net."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from cdp_platform.customers import jobs, profiles, segments, transactions
from cdp_platform.customers.defs import checks
from cdp_platform.customers.defs.assets import (
    GROUP,
    cdp_profile,
    cdp_profile2conversion,
    cdp_profiles,
    cdp_segment,
    cdp_segments,
    customer_metrics,
    customer_value,
    transaction_lines,
)
from cdp_platform.customers.source import SourceState, TenantSource, with_database
from cdp_platform.errors import SourceError
from cdp_platform.ops import tenants
from cdp_platform.ops.looks import Source
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration import partitions, run_limits
from cdp_platform.orchestration.resources import ArangoResource, WarehouseResource
from cdp_platform.orchestration.schedules import for_all_tenants, net
from cdp_platform.orchestration.watch import Watch

# Limit of one source, so that a source that hangs does not use up the tick.
_LOOK_SECONDS = 10.0

_WATCHED = {
    profiles.COLLECTION: cdp_profile,
    transactions.COLLECTION: cdp_profile2conversion,
    segments.COLLECTION: cdp_segment,
}


def changes(before: Mapping[str, list], states: Mapping[str, SourceState]) -> list[str]:
    """The collections whose state differs from what was seen last."""
    return [name for name, state in states.items() if before.get(name) != [state.count, state.greatest]]


# Staleness is about all tenants, so a run for one tenant does not check it.
_CUSTOMERS = dg.AssetSelection.assets(
    cdp_profiles, transaction_lines, customer_metrics, customer_value
) - dg.AssetSelection.checks(*checks.STALENESS)
# With what is made of segments, in whatever room: every run writes down that segments were read, and a run of its own
# would follow each time. Its checks compare everybody with every segment, and have a schedule.
_OF_SEGMENTS = dg.AssetSelection.assets(cdp_segments).downstream(depth=1, include_self=False).without_checks()
_ROOM = (
    _CUSTOMERS | (dg.AssetSelection.assets(cdp_segments) - dg.AssetSelection.checks(*checks.STALENESS)) | _OF_SEGMENTS
)


def for_both_collections(**config: Any) -> dict[str, Any]:
    """Run configuration with these values of `SyncConfig` for profiles and transactions."""
    return _configured([cdp_profiles, transaction_lines], config)


def for_all_collections(**config: Any) -> dict[str, Any]:
    """Run configuration with these values of `ReadConfig` for all that is read from the CDP."""
    return _configured([cdp_profiles, transaction_lines, cdp_segments], config)


def _configured(assets: Sequence[dg.AssetsDefinition], config: Mapping[str, Any]) -> dict[str, Any]:
    return {asset.op.name: {"config": dict(config)} for asset in assets}


customers_job = dg.define_asset_job(
    jobs.SYNC,
    selection=_ROOM,
    description="Profiles, transactions, segments, metrics and value of a tenant, or of a range of tenants in one run, "
    "and what campaigns make of segments.",
)

_RECONCILE = {"ops": for_all_collections(reconcile=True)}

reconcile_job = dg.define_asset_job(
    jobs.RECONCILE,
    selection=_ROOM,
    config=_RECONCILE,
    description="As customers_sync, and then all keys of both sides are compared: finds what was deleted in the "
    "source, and what changed without a newer stamp.",
)


segment_job = dg.define_asset_job(
    "segment_etl",
    selection=_CUSTOMERS,
    config={"ops": for_both_collections(segment_id="")},
    description="The profiles of one segment, the transactions of those profiles, and the metrics of whom that "
    "touched. Name the segment for both in the run configuration; blank processes 0 records.",
)

staleness_job = dg.define_asset_job(
    "customers_staleness",
    selection=dg.AssetSelection.checks(*checks.STALENESS),
    description="Asks of every active tenant when its sources were last read to their end, and looked at.",
)


@dg.sensor(
    job=customers_job,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks at the count and greatest updatedAt of every tenant's collections, reports what changed, and "
    "asks for the run that reads it. However many tenants changed, it has three runs at most that have not ended.",
)
def arango_changes(
    context: dg.SensorEvaluationContext, warehouse: WarehouseResource, arango: ArangoResource
) -> dg.SensorResult | dg.SkipReason:
    """Look at all tenants in one tick."""
    with warehouse.connect() as connection:
        watched = {tenant.tenant_id: tenant for tenant in with_database(tenants.registered(connection))}
        watch = Watch(
            connection,
            arango_changes.name,
            context.cursor,
            {key: Source(key, tenant.arango_database) for key, tenant in watched.items()},
        )
        return _look(context, watch, watched, arango)


def _look(
    context: dg.SensorEvaluationContext, watch: Watch, watched: Mapping[str, Tenant], arango: ArangoResource
) -> dg.SensorResult:
    @contextmanager
    def looking() -> Generator[Callable[[str], dict[str, SourceState]]]:
        with arango.open_server(timeout_seconds=_LOOK_SECONDS) as database:
            yield lambda key: TenantSource(database(watched[key].arango_database), watched[key]).states()

    # In the order of the partitions, so that the tenants of a tick that runs out of time are neighbours and share a
    # run.
    known = partitions.known(context.instance)
    ready = [tenant_id for tenant_id in known if tenant_id in watched]
    events: list[dg.AssetMaterialization] = []
    unreadable: list[str] = []
    for tenant_id, states in watch.at_once(ready, looking, seconds=_LOOK_SECONDS):
        if isinstance(states, SourceError):
            watch.missed(tenant_id)
            unreadable.append(str(states))
            context.log.warning("%s", states)
            continue
        if isinstance(states, Exception):
            raise states
        changed = changes(watch.seen.get(tenant_id, {}), states)
        events += [
            dg.AssetMaterialization(
                asset_key=_WATCHED[name].key,
                partition=tenant_id,
                metadata={"documents": states[name].count, "greatest_updated_at": str(states[name].greatest)},
            )
            for name in changed
        ]
        if changed:
            watch.waiting.add(tenant_id)
        seen = {name: [state.count, state.greatest] for name, state in states.items()}
        watch.saw(tenant_id, seen, changed=bool(changed))
    if unreadable and len(unreadable) == len(ready):
        raise dg.Failure(f"No tenant's source could be read. {unreadable[0]}")
    # An unfinished run may have read past this change: its tenants wait for its end, and the others do not wait for
    # them.
    busy = partitions.busy(context.instance, {customers_job.name, reconcile_job.name})
    runs = watch.runs(known, watch.waiting - busy, at_most=run_limits.left_for(context.instance, arango_changes.name))
    return dg.SensorResult(
        run_requests=[dg.RunRequest(tags=partitions.range_tags(keys)) for keys in runs],
        asset_events=events,
        cursor=watch.cursor(),
        skip_reason=None
        if events or runs
        else f"No change in {len(ready)} tenants ({len(unreadable)} not readable, {len(watch.waiting)} in a run).",
    )


@dg.schedule(
    job=customers_job,
    cron_schedule="*/15 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="The net under the sensor: one run over all tenants. Costs little where nothing changed.",
)
def customers_every_15_minutes(
    context: dg.ScheduleEvaluationContext, warehouse: WarehouseResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """One run for all tenants, or several if other partitions are between them."""
    if any(partitions.is_running(context.instance, job.name) for job in (customers_job, reconcile_job)):
        return dg.SkipReason("The last run has not ended. A second one would only wait for it.")
    return for_all_tenants(context, warehouse, GROUP, only=with_database)


customers_every_night = net(
    "customers_every_night",
    reconcile_job,
    cron="30 2 * * *",
    description="Every tenant's tables are compared with their source each night.",
    subject=GROUP,
    only=with_database,
    run_config=_RECONCILE,
)
staleness_hourly = dg.ScheduleDefinition(
    name="customers_staleness_hourly",
    job=staleness_job,
    cron_schedule="5 * * * *",
    description="Every hour, so that a tenant that no run reaches any more is found.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
