"""Commands about runs and the processes that execute them: `worker`, `runs`."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from cdp_platform import settings
from cdp_platform.cli.printing import duration, json_option, show, show_json
from cdp_platform.cli.runs import dagster_instance
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import run_leases
from cdp_platform.warehouse.connection import connect

if TYPE_CHECKING:
    from types import ModuleType

_SHOWN_FOR = timedelta(days=1)


@click.command()
@click.option("--slots", type=click.IntRange(1), default=1, show_default=True, help="Runs to execute at once.")
@json_option
def worker(slots: int, *, as_json: bool) -> None:
    """Execute runs that the daemon hands to workers.

    This is for platforms on several machines. Works until SIGTERM, which lets runs in progress end first. The next
    version of the platform is used only by workers that were started after it was installed.
    """
    redis = settings.redis()
    settings.postgres()
    workers = workers_module()
    if as_json:
        show_json({"slots": slots, "redis": f"{redis.host}:{redis.port}"})
    workers.work(slots)


def workers_module() -> "ModuleType":
    """The module of workers.

    Raises:
        ConfigurationError: the packages that it needs are not installed.
    """
    try:
        from cdp_platform.orchestration import workers
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"Workers need {error.name}, which is not installed: pip install 'cdp-platform[workers]'."
        ) from error
    return workers


@click.command()
@json_option
def runs(*, as_json: bool) -> None:
    """Show runs and the processes that execute them.

    Those in progress, and those of the last day whose process died.
    """
    import dagster as dg

    from cdp_platform.orchestration.lost_runs import ACTIVE, lost_process

    now = datetime.now(UTC)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=now - _SHOWN_FOR)
    with connect(settings.postgres()) as connection, dagster_instance() as instance:
        leases = run_leases.find(connection)
        shown = [
            (record, str(leases.get(record.dagster_run.run_id, "")))
            for record in instance.get_run_records(dg.RunsFilter(statuses=ACTIVE))
        ]
        shown += [
            (record, process)
            for record in instance.get_run_records(failed)
            if (process := lost_process(instance, record.dagster_run.run_id))
        ]
    found: list[dict[str, Any]] = [
        {
            "run": record.dagster_run.run_id,
            "job": record.dagster_run.job_name,
            "status": record.dagster_run.status.value,
            "created_at": record.create_timestamp,
            "process": process,
        }
        for record, process in shown
    ]
    if as_json:
        show_json(found)
        return
    show(
        "Runs in progress, and runs whose process died",
        ["run", "job", "status", "created", "process"],
        [
            (each["run"], each["job"], each["status"], f"{duration(now - each['created_at'])} ago", each["process"])
            for each in found
        ],
        empty="No run is in progress, and no process of a run died in the last day.",
    )
