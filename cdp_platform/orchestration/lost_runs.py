"""Ends runs whose process is gone, and names runs that last too long, because both hold up other runs.

A run belongs to the process that executes it and ends with it. Dagster notices the end only if its code server outlives
the process. Otherwise it counts the run as in progress for ever, with its slots of pools and its place in the queue.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
import psycopg

from cdp_platform.ops import run_leases
from cdp_platform.ops.run_leases import Lease
from cdp_platform.orchestration.automation import AFTER_ASSETS
from cdp_platform.orchestration.coordinator import QUEUED
from cdp_platform.orchestration.resources import WarehouseResource

# Equal to `run_monitoring.max_runtime_seconds` of dagster.yaml, after which the daemon, if one runs, ends a run itself.
LONGEST_RUN_SECONDS = 7200
# When no run starts or ends for this long while runs wait, the queue does not move.
LONGEST_STANDSTILL_SECONDS = 900

ACTIVE = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_NAMED = 5
_GONE, _STAYS = "The process that executed this run is gone: ", ". What it had committed stays."
# Age at which a lease of a run that this instance does not know is deleted.
_FORGOTTEN_AFTER_SECONDS = 86_400


def end_lost(instance: dg.DagsterInstance, connection: psycopg.Connection) -> list[Lease]:
    """End every run whose process is gone, and free its slots of pools; returns what was ended."""
    return [lease for lease in run_leases.find(connection).values() if lease.lost and _end(instance, connection, lease)]


def _end(instance: dg.DagsterInstance, connection: psycopg.Connection, lease: Lease) -> bool:
    run = instance.get_run_by_id(lease.run_id)
    if run is None and lease.silent_seconds < _FORGOTTEN_AFTER_SECONDS:
        # Another instance of Dagster over the same warehouse may know the run, and ends it.
        return False
    with run_leases.ending(connection, lease) as mine:
        if not mine or run is None:
            return False
        if not run.is_finished:
            # Before its retry can begin.
            run_leases.end_sessions(connection, lease)
            instance.report_run_failed(run, f"{_GONE}{lease}{_STAYS}")
        instance.event_log_storage.free_concurrency_slots_for_run(lease.run_id)
    return True


def lost_process(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """The process of a run that `end_lost` ended; None if the run ended otherwise.

    It is read from the run's events. Tags of a run are those of its retry, too.
    """
    ends = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
    messages = [end.event_log_entry.dagster_event.message or "" for end in ends if end.event_log_entry.dagster_event]
    named = [each.removeprefix(_GONE).removesuffix(_STAYS) for each in messages if each.startswith(_GONE)]
    return named[0] if named else None


@dataclass(frozen=True)
class Standstill:
    """The state of the runs.

    Attributes:
        active: runs that are in progress.
        queued: runs that wait.
        flaws: a sentence for each problem.
    """

    active: int
    queued: int
    flaws: Sequence[str]


def look(instance: dg.DagsterInstance, now: float | None = None) -> Standstill:
    """Find runs that last too long, and a queue that does not move; ``now`` is a Unix time in seconds."""
    now = time.time() if now is None else now
    active = instance.get_run_records(dg.RunsFilter(statuses=ACTIVE))
    waiting = dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])
    first = instance.get_run_records(waiting, limit=1, ascending=True)
    queued = instance.get_runs_count(waiting) if first else 0
    old = [
        (record, age)
        for record in active
        if (age := now - (record.start_time or record.create_timestamp.timestamp())) > LONGEST_RUN_SECONDS
    ]
    flaws = []
    if old:
        named = ", ".join(
            f"{record.dagster_run.run_id} ({record.dagster_run.job_name}, {age / 3600:.1f} h)"
            for record, age in old[:_NAMED]
        )
        more = f" and {len(old) - _NAMED} more" if len(old) > _NAMED else ""
        flaws.append(
            f"Runs in progress for more than {LONGEST_RUN_SECONDS / 3600:.0f} h: {named}{more}. "
            "Terminate them in the Dagster UI; they hold places and pools."
        )
    if first:
        waited = now - first[0].create_timestamp.timestamp()
        still = min(waited, now - _last_move(instance))
        if still > LONGEST_STANDSTILL_SECONDS:
            flaws.append(
                f"{queued} runs wait in the queue, the first ({first[0].dagster_run.job_name}) for "
                f"{waited / 60:.0f} minutes, and for {still / 60:.0f} minutes none has started or ended while "
                f"{len(active)} are in progress. Is the Dagster daemon running, and which run holds up the others?"
            )
    return Standstill(len(active), queued, flaws)


def _last_move(instance: dg.DagsterInstance) -> float:
    """When a run of the queue last started or ended, in seconds; 0 if never."""
    latest = instance.get_run_records(
        dg.RunsFilter(statuses=[*ACTIVE, *_FINISHED], tags=QUEUED), limit=1, order_by="update_timestamp"
    )
    return latest[0].update_timestamp.timestamp() if latest else 0.0


runs = dg.AssetSpec(
    ["dagster", "runs"],
    description="The runs of the platform itself. Dagster stores them, in a database of its own.",
    group_name="ops",
    owners=["team:platform"],
    kinds={"dagster"},
)


def _examined(found: Standstill) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=not found.flaws,
        asset_key=runs.key,
        check_name="moving",
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"active": found.active, "queued": found.queued},
        description=" ".join(found.flaws) or None,
    )


@dg.asset_check(
    op_tags=AFTER_ASSETS,
    asset=runs.key,
    name="moving",
    description="No run is older than any should be, and the queue moves. Told by the sensor `lost_runs`.",
)
def moving(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Look at the runs as they are now."""
    return _examined(look(context.instance))


@dg.sensor(
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process is gone, and tells the check `moving` of `dagster/runs` what stands still.",
)
def lost_runs(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
    """Look at the leases and at the runs once.

    This is a sensor and not a job, because a job would wait in the queue that does not move.
    """
    with warehouse.connect() as connection:
        ended = end_lost(context.instance, connection)
    for lease in ended:
        context.log.warning("Ended run %s: its process is gone (%s).", lease.run_id, lease)
    found = look(context.instance)
    # Evaluate the check when something changed and once an hour, not at each tick: Dagster keeps every evaluation.
    verdict = [len(found.flaws), int(time.time() // 3600)]
    told = json.loads(context.cursor or "null")
    evaluation = _examined(found)
    return dg.SensorResult(
        skip_reason=f"{len(ended)} runs ended; {found.active} in progress, {found.queued} queued.",
        cursor=json.dumps(verdict),
        asset_events=[]
        if verdict == told
        else [
            dg.AssetCheckEvaluation(
                asset_key=runs.key,
                check_name="moving",
                passed=evaluation.passed,
                metadata=evaluation.metadata,
                severity=evaluation.severity,
                description=evaluation.description,
            )
        ],
    )
