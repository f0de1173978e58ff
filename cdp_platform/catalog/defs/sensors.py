"""Sensors and schedules of the room: changes at the sources, each ingestor's own schedule, and the daily cleanup."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import dagster as dg
import psycopg
from pydantic import Field

from cdp_platform.catalog import changes, cleanup
from cdp_platform.catalog.cleanup import Cleaned
from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.defs.resources import FeedsResource
from cdp_platform.catalog.defs.round_checks import BRAND_REGISTRY, PRODUCT_FEED, PUBLISHED
from cdp_platform.catalog.sources import Validators
from cdp_platform.errors import PlatformError
from cdp_platform.ops import tenants
from cdp_platform.ops.looks import Source
from cdp_platform.orchestration import partitions, run_limits
from cdp_platform.orchestration.failures import IO_RETRIES, describe, of_several
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.schedules import not_requested_before
from cdp_platform.orchestration.watch import Watch

INGEST = "catalog_ingest"

# After this number of failed looks in a row a run is asked for. It fails visibly, with the reason.
_MISSES = 3


def started(instance: dg.DagsterInstance) -> str | None:
    """The id of the running daemon, which is new at each start of the platform; None before its first heartbeat.

    Sensors run in a process that the daemon replaces every minute, so nothing of this process tells a start apart.
    """
    heartbeat = instance.get_daemon_heartbeats().get("SENSOR")
    return heartbeat.daemon_id if heartbeat else None


def job_of(hourly: Sequence[dg.AssetChecksDefinition]) -> Any:
    """The job that takes registry and feeds of an ingestor.

    Args:
        hourly: checks over all ingestors, which a run of one ingestor leaves out.
    """
    return dg.define_asset_job(
        INGEST,
        selection=dg.AssetSelection.assets(BRAND_REGISTRY, PRODUCT_FEED) - dg.AssetSelection.checks(*hourly),
        description="Registry and feeds of an ingestor, or of a range of ingestors in one run.",
    )


def hourly_of(hourly: Sequence[dg.AssetChecksDefinition]) -> tuple[Any, dg.ScheduleDefinition]:
    """The job of the hourly checks, and its schedule."""
    job = dg.define_asset_job(
        "catalog_checks",
        selection=dg.AssetSelection.checks(*hourly),
        description="Checks of every ingestor whether its last round was taken whole, and when that was.",
    )
    schedule = dg.ScheduleDefinition(
        name="catalog_checks_hourly",
        job=job,
        cron_schedule="10 * * * *",
        description="Every hour, to find ingestors that no run has taken for long.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    return job, schedule


def schedules_of(ingestors: Sequence[Ingestor], job: Any) -> list[dg.ScheduleDefinition]:
    """One schedule for each ingestor that has a cron."""
    order = [ingestor.name for ingestor in ingestors]
    return [_schedule(ingestor, ingestor.schedule, order, job) for ingestor in ingestors if ingestor.schedule]


def _schedule(ingestor: Ingestor, cron: str, order: Sequence[str], job: Any) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"catalog_{re.sub(r'[^a-z0-9]', '_', ingestor.name.lower())}",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Registry and feeds of ingestor {ingestor.name}, as scheduled in ingestion.yaml. A run "
        "in which nothing changed writes nothing.",
    )
    def when_due(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if ingestor.name in partitions.busy(context.instance, {INGEST}, order):
            return dg.SkipReason("The last run has not ended. A second one would leave the ingestor to it.")
        return dg.RunRequest(
            run_key=f"{ingestor.name}-{context.scheduled_execution_time.isoformat()}", partition_key=ingestor.name
        )

    return when_due


def sensor_of(
    ingestors: Sequence[Ingestor], job: Any, *, interval_seconds: int, on_startup: bool
) -> dg.SensorDefinition:
    """The sensor that looks for changes at the sources of all ingestors.

    Args:
        ingestors: of ingestion.yaml.
        job: the one that takes registry and feeds.
        interval_seconds: between two looks.
        on_startup: whether every ingestor gets a run when the platform starts.
    """
    by_name = {ingestor.name: ingestor for ingestor in ingestors}
    order = list(by_name)

    @dg.sensor(
        name="feed_changes",
        job=job,
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks whether a registry or the index of a feed has changed since it was taken, without reading "
        "feeds, and asks for the run that takes it. Without a change there is no run. At most three of its runs are "
        "open at once.",
    )
    def feed_changes(
        context: dg.SensorEvaluationContext, warehouse: WarehouseResource, feeds: FeedsResource
    ) -> dg.SensorResult | dg.SkipReason:
        if not ingestors:
            return dg.SkipReason("There are no ingestors: INGESTION_CONFIG_PATH names the file that lists them.")
        busy = partitions.busy(context.instance, {INGEST}, order)
        with warehouse.connect() as connection:
            active = {tenant.tenant_id for tenant in tenants.registered(connection) if tenant.active}
            served = [name for name in order if by_name[name].tenant in active]
            sources = {name: Source(by_name[name].tenant, name) for name in served}
            watch = Watch(connection, feed_changes.name, context.cursor, sources)
            if on_startup and _has_started(watch, context.instance):
                watch.waiting.update(served)
            # Ingestors that have a run, or get one now, are looked at after it.
            idle = [name for name in served if name not in busy | watch.waiting]
            changed = [name for name in watch.in_turn(idle) if _look(context, connection, feeds, watch, by_name[name])]
            runs = watch.runs(
                order,
                watch.waiting - busy,
                at_most=run_limits.left_for(context.instance, feed_changes.name),
                apart=True,
            )
            cursor = watch.cursor()
        return dg.SensorResult(
            run_requests=[_run_of(keys) for keys in runs],
            asset_events=[dg.AssetMaterialization(PUBLISHED, partition=name) for name in changed],
            cursor=cursor,
            skip_reason=None if runs else f"No change at {len(idle)} ingestors ({len(busy)} in a run).",
        )

    return feed_changes


def _run_of(names: Sequence[str]) -> dg.RunRequest:
    if len(names) == 1:
        return dg.RunRequest(partition_key=names[0])
    return dg.RunRequest(tags=partitions.range_tags(names))


def _has_started(watch: Watch, instance: dg.DagsterInstance) -> bool:
    """Whether this is the first tick after a start of the platform."""
    start = started(instance)
    before, watch.notes["started"] = watch.notes.get("started"), start
    return start is not None and start != before


def _look(
    context: dg.SensorEvaluationContext,
    connection: psycopg.Connection,
    feeds: FeedsResource,
    watch: Watch,
    ingestor: Ingestor,
) -> bool:
    """Note whether this ingestor needs a run; returns whether its source has changed since the last look."""
    seen = {path: Validators(*values) for path, values in watch.seen.get(ingestor.name, {}).items()}
    quick = changes.with_short_timeout(ingestor)
    changed = missed_often = False
    try:
        with feeds.open(quick) as source:
            found = changes.look(connection, source, quick, seen)
    except PlatformError as error:
        # A source that cannot be read is neither unchanged nor gone.
        missed_often = watch.missed(ingestor.name) == _MISSES
        context.log.warning("%s: %s", ingestor.name, describe(error))
    else:
        changed = found.changed
        now_seen = {path: astuple(validators) for path, validators in found.seen.items()}
        watch.saw(ingestor.name, now_seen, changed=changed)
    if changed or missed_often or changes.due_again(connection, ingestor):
        watch.waiting.add(ingestor.name)
    return changed


# Cleanup --------------------------------------------------------------------------------------------------------------


class CleanupConfig(dg.Config):
    """Configuration of the daily cleanup."""

    max_share: float = Field(
        cleanup.MAX_SHARE,
        description="Share of a table that one run may delete, 0 to 1. Look at `cdp catalog cleanup --dry-run` before "
        "you set 1.",
    )


@dg.op(retry_policy=IO_RETRIES)
def clean_catalog(context: dg.OpExecutionContext, config: CleanupConfig, warehouse: WarehouseResource) -> None:
    """Count what is past its retention, then delete it, tenant by tenant."""
    due: dict[str, list[Cleaned]] = {}
    done: dict[str, list[Cleaned]] = {}
    failed: dict[str, Exception] = {}
    with warehouse.connect() as connection:
        active = [tenant.tenant_id for tenant in tenants.registered(connection) if tenant.active]
    for tenant_id in active:
        try:
            with warehouse.connect() as connection:
                due[tenant_id] = cleanup.clean(connection, tenant_id, dry_run=True)
                done[tenant_id] = cleanup.clean(connection, tenant_id, dry_run=False, max_share=config.max_share)
        except Exception as error:
            context.log.error("%s: %s", tenant_id, describe(error))
            failed[tenant_id] = error
    metadata = {"due": _table(due), "deleted": _table(done), "rows_deleted": _deleted(done)}
    if failed:
        raise of_several(failed, metadata) from None
    context.add_output_metadata(metadata)


@dg.job(
    name="catalog_cleanup",
    description="Deletes products that were removed long ago (PRODUCT_RETENTION_DAYS), categories that nothing uses, "
    "and old rounds (ROUND_RETENTION_DAYS). Counts first; if more than half of a tenant's table would be deleted, "
    "nothing of that tenant is, until a person looks.",
)
def cleanup_job() -> None:
    """One step for all tenants."""
    clean_catalog()


def cleanup_schedule(interval_seconds: int) -> dg.ScheduleDefinition:
    """A schedule that asks for one cleanup per interval; if that is a day or more, at 05:30 UTC."""
    by_day, by_hour, by_minute = "30 5 * * *", "30 * * * *", "* * * * *"
    cron = by_day if interval_seconds >= 86_400 else by_hour if interval_seconds >= 3_600 else by_minute

    @dg.schedule(
        name="catalog_cleanup_schedule",
        job=cleanup_job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"One cleanup every {interval_seconds:,} seconds (CLEANUP_INTERVAL).",
    )
    def when_due(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        interval = int(context.scheduled_execution_time.timestamp() // interval_seconds)
        asked = not_requested_before(context.instance, [dg.RunRequest(run_key=f"cleanup-{interval}")])
        return asked or dg.SkipReason("This interval's run was requested before.")

    return when_due


def _table(found: Mapping[str, Sequence[Cleaned]]) -> dg.MetadataValue:
    lines = [
        f"| {tenant_id} | {each.table} | {each.rows:,} | {each.due:,} | {each.deleted:,} |"
        for tenant_id, tables in found.items()
        for each in tables
        if each.due
    ]
    head = ["| tenant | table | rows | due | deleted |", "|---|---|---:|---:|---:|"]
    return dg.MetadataValue.md("\n".join([*head, *lines]) if lines else "nothing")


def _deleted(found: Mapping[str, Sequence[Cleaned]]) -> int:
    return sum(each.deleted for tables in found.values() for each in tables)
