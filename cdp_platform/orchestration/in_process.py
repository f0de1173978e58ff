"""Runs a job in this process, for the command line, with the same assets, checks and events as a deployed run."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from cdp_platform import settings
from cdp_platform.ops import run_leases
from cdp_platform.orchestration import partitions, progress
from cdp_platform.orchestration.pools import waiting_for_pools
from cdp_platform.warehouse.connection import application, connect

_INTERRUPTED = "the run was interrupted before its end; run the command again"
# The job logs to Dagster's event log only; the terminal shows progress bars and a table.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class AssetResult:
    """The result of one asset for one partition: a tenant, an ingestor, or a tenant's month."""

    asset: str
    partition: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check for one partition; '' for a check of all partitions at once."""

    check: str
    partition: str
    passed: bool
    severity: str
    description: str


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        run_id: the id that the Dagster UI shows.
        outcomes: one per asset and partition that were materialized.
        checks: one per check and partition.
        errors: one line for each reason why steps failed, with the names of the steps.
    """

    run_id: str
    outcomes: list[AssetResult]
    checks: list[CheckResult]
    errors: list[str]

    @property
    def success(self) -> bool:
        """Whether every step succeeded and no check failed with severity ERROR."""
        return not self.errors and not any(c.severity == "ERROR" and not c.passed for c in self.checks)


def run_job(
    definitions: dg.Definitions,
    job_name: str,
    instance: dg.DagsterInstance,
    tenant_ids: Sequence[str],
    *,
    config: dict[str, Any] | None = None,
    assets: Sequence[dg.AssetKey] | None = None,
    watcher: progress.Begin | None = None,
) -> RunResult:
    """Run a job for these tenants, which must be neighbours among the instance's partitions.

    The run belongs to this process, which holds a lease for it. When the process is gone, others end the run.

    Args:
        definitions: which have the job.
        job_name: of any room.
        instance: which gets the events.
        tenant_ids: or other partition keys of the job.
        config: run configuration by op.
        assets: of the job, only these.
        watcher: is told how far the work of each tenant is.

    Raises:
        BusyError: another run held a pool that this one needs, and the wait reached its limit.
    """
    job = definitions.resolve_job_def(job_name)
    run_id = str(uuid.uuid4())
    with (
        run_leases.held(lambda: connect(settings.postgres()), run_id, application()),
        waiting_for_pools(instance, job, run_id),
        progress.shown_by(watcher),
    ):
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            partition_key=tenant_ids[0] if len(tenant_ids) == 1 else None,
            tags={**_process_tags(), **(partitions.range_tags(tenant_ids) if len(tenant_ids) > 1 else {})},
            run_config={**_own_config(job, tenant_ids[0]), **_QUIET, **({"ops": config} if config else {})},
            asset_selection=assets,
            raise_on_error=False,
        )
    outcome = RunResult(
        result.run_id,
        list(_outcomes(result.all_events)),
        list(_checks(result.all_events)),
        _errors(result.all_events),
    )
    if outcome.success and not result.success:
        # The run was interrupted between two steps: none failed, and some were not executed.
        outcome.errors.append(_INTERRUPTED)
    return outcome


def _process_tags() -> dict[str, str]:
    process = run_leases.this_process()
    return {
        "cdp/command": application(),
        "cdp/host": process.host,
        "cdp/pid": str(process.pid),
        "cdp/process_started_at": process.started_at.isoformat(),
        # The person who typed the command repeats it; the daemon must not.
        "dagster/max_retries": "0",
    }


def _own_config(job: dg.JobDefinition, tenant_id: str) -> Mapping[str, Any]:
    # Dagster applies it by itself only if no other configuration is given.
    return job.partitioned_config.get_run_config_for_partition_key(tenant_id) if job.partitioned_config else {}


def together(runs: Sequence[RunResult]) -> RunResult:
    """The results of several runs as one."""
    return RunResult(
        ", ".join(run.run_id for run in runs),
        [outcome for run in runs for outcome in run.outcomes],
        [check for run in runs for check in run.checks],
        list(dict.fromkeys(error for run in runs for error in run.errors)),
    )


def _outcomes(events: Sequence[dg.DagsterEvent]) -> Iterator[AssetResult]:
    for event in events:
        if event.is_step_materialization:
            made = event.materialization
            yield AssetResult(
                made.asset_key.path[-1],
                made.partition or "",
                {name: value.value for name, value in made.metadata.items()},
            )


def _checks(events: Sequence[dg.DagsterEvent]) -> Iterator[CheckResult]:
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            found = event.asset_check_evaluation_data
            yield CheckResult(
                f"{found.asset_key.path[-1]}: {found.check_name}",
                found.partition or "",
                found.passed,
                found.severity.value,
                found.description or "",
            )


def _errors(events: Sequence[dg.DagsterEvent]) -> list[str]:
    steps: dict[str, list[str]] = {}
    for event in events:
        if event.is_step_failure:
            # The name without the room, as in the table of results.
            steps.setdefault(_reason(event), []).append((event.step_key or "").rpartition("__")[2])
    return [f"{', '.join(names)}: {reason}" for reason, names in steps.items()]


def _reason(event: dg.DagsterEvent) -> str:
    failure = event.step_failure_data
    if failure.error and failure.error.cls_name in {"DagsterExecutionInterruptedError", "KeyboardInterrupt"}:
        return _INTERRUPTED
    words = failure.user_failure_data.description if failure.user_failure_data else None
    if not words and failure.error:
        cause = failure.error.cause or failure.error
        words = cause.message.strip().splitlines()[0]
        kind, _, rest = words.partition(": ")
        # Messages of the platform's own errors are complete. For other errors the class is part of the explanation.
        words = rest if kind.startswith("cdp_platform.") and rest else words
    return words or "failed"
