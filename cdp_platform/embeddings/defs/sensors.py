"""The sensor that listens to the queue, and the nightly schedules as a safety net."""

import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg

from cdp_platform.customers import jobs
from cdp_platform.embeddings import models, status
from cdp_platform.embeddings.defs import assets
from cdp_platform.orchestration import partitions, run_limits
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.schedules import net

# A tick listens this long for a change. Dagster gives a tick 60 seconds.
LISTEN_SECONDS = 20.0
# While a sync writes the texts of many tenants, runs are asked for when it is one minute old, two, four and so on, and
# after its end: a few runs for the whole sync, and not one for each tenant.
_BEHIND_A_SYNC_SECONDS = 60

embeddings_job = dg.define_asset_job(
    "embeddings_update",
    selection=dg.AssetSelection.assets(*assets.EMBEDDINGS.values()),
    description="Embeds the texts that wait in the queue, of a tenant or of a range of tenants in one run.",
)

_RECONCILE = {"ops": {asset.op.name: {"config": {"reconcile": True}} for asset in assets.EMBEDDINGS.values()}}

reconcile_job = dg.define_asset_job(
    "embeddings_reconcile",
    selection=dg.AssetSelection.assets(*assets.EMBEDDINGS.values()),
    config=_RECONCILE,
    description="As embeddings_update, but first texts and vectors are compared: changes that no trigger saw are "
    "enqueued, and vectors without a text are removed.",
)

audiences_job = dg.define_asset_job(
    "embeddings_audiences",
    selection=dg.AssetSelection.assets(assets.profile_clusters, assets.lookalike_audiences),
    description="Clusters of profiles, and lookalikes of segments, from the vectors as they are.",
)


@dg.sensor(
    job=embeddings_job,
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run as soon as a text waits: listens for notices of the queue, and looks at least twice a "
    "minute in case a notice was lost.",
)
def embedding_queue(
    context: dg.SensorEvaluationContext, warehouse: WarehouseResource
) -> dg.SensorResult | dg.SkipReason:
    """Look at the queue; if nothing waits, listen for a while and look again."""
    with warehouse.connect() as connection:
        # Before the first look, so that no notice is lost between the two.
        connection.execute("LISTEN embedding_job")
        deadline = time.monotonic() + LISTEN_SECONDS
        while True:
            answer = _look(context, connection)
            left = deadline - time.monotonic()
            if isinstance(answer, dg.SensorResult) or left <= 0:
                return answer
            if not list(connection.notifies(timeout=left, stop_after=1)):
                return answer


def _look(context: dg.SensorEvaluationContext, connection: psycopg.Connection) -> dg.SensorResult | dg.SkipReason:
    for paused in status.pauses(connection, models.live(connection)):
        if paused.model.state == "active":
            return dg.SkipReason(f"{paused.model.label} is paused for {paused.seconds:.0f} s: {paused.reason}")
    waiting = connection.execute("SELECT tenant_id, kind FROM embeddings.waiting()").fetchall()
    known = partitions.known(context.instance)
    busy = partitions.busy(context.instance, {embeddings_job.name, reconcile_job.name})
    due = {tenant_id for tenant_id, _ in waiting if tenant_id in known} - busy
    if not due:
        return dg.SkipReason(f"No text waits, apart from those of {len(busy)} tenants in a run.")
    if run_limits.has_just_failed(context.instance, embeddings_job.name):
        return dg.SkipReason("The last run failed; the next one waits a minute.")
    syncs = {jobs.SYNC, jobs.RECONCILE}
    synced = due & partitions.busy(context.instance, syncs)
    if len(synced) > 1 and _is_early(context.instance, syncs):
        due -= synced
        if not due:
            return dg.SkipReason(
                f"Runs still write the texts of {len(synced)} tenants; the next run is for all of them."
            )
    runs_left = run_limits.left_for(context.instance, embedding_queue.name)
    if not runs_left:
        return dg.SkipReason(f"Texts of {len(due)} tenants wait until an earlier run ends.")
    kinds = {kind for tenant_id, kind in waiting if tenant_id in due}
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                tags=partitions.range_tags(keys),
                asset_selection=[asset.key for kind, asset in assets.EMBEDDINGS.items() if kind in kinds],
            )
            for keys in partitions.ranges(known, due, at_most=runs_left)
        ]
    )


def _is_early(instance: dg.DagsterInstance, syncs: Collection[str]) -> bool:
    """Whether the syncs under way have had a run of embeddings for each doubling of their age."""
    began = partitions.unfinished_since(instance, syncs)
    if began is None:
        return False
    runs = instance.get_runs(dg.RunsFilter(job_name=embeddings_job.name, created_after=began))
    return datetime.now(UTC) - began < timedelta(seconds=_BEHIND_A_SYNC_SECONDS) * 2 ** len(runs)


embeddings_every_night = net(
    "embeddings_every_night",
    reconcile_job,
    cron="30 3 * * *",
    description="Every tenant's texts and vectors are compared each night.",
    subject=assets.GROUP,
    run_config=_RECONCILE,
)
audiences_every_night = net(
    "audiences_every_night",
    audiences_job,
    cron="30 4 * * *",
    description="Clusters and lookalikes of every tenant, each night after the vectors.",
    subject="audiences",
)
