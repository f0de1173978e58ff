"""Runs after Dagster's database was restored: no process executes those that were open."""

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus

_OPEN = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def end_open(instance: dg.DagsterInstance) -> int:
    """End every open run and backfill, and free the runs' slots of pools; returns their number."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_OPEN))
    for run in runs:
        instance.report_run_canceled(
            run, message="Dagster's database was restored from a backup, in which this run was open."
        )
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    backfills = instance.get_backfills(status=BulkActionStatus.REQUESTED)
    for backfill in backfills:
        instance.update_backfill(backfill.with_status(BulkActionStatus.CANCELED))
    return len(runs) + len(backfills)
