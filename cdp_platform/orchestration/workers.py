"""Runs on several machines: a launcher that hands them to Celery workers, and the worker.

A run is one task, executed as a whole by a process of a worker. Redis carries the tasks and holds nothing that matters:
no results are kept in it, and whether a run is alive is known from its lease in the warehouse
(`cdp_platform.ops.run_leases`). What is lost with Redis is at most a task that no worker has begun; its run fails after
`run_monitoring.start_timeout_seconds` and is retried.

Dagster's own health check of Celery runs reads the state of the task from Redis. That state stays "started" after the
worker was killed, and is unknown after Redis was emptied, when the run is well.
"""

import os
import socket
import time
import warnings
from importlib import import_module
from typing import Any
from urllib.parse import quote

import dagster as dg
from celery import Celery, Task

# Not exported by Dagster, but every launcher of its own integrations uses them.
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClassData, unpack_value
from dagster_celery.defaults import task_default_queue
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task
from kombu.exceptions import OperationalError

from cdp_platform import settings
from cdp_platform.errors import UnavailableError
from cdp_platform.ops import run_leases
from cdp_platform.orchestration.lost_runs import LONGEST_RUN_SECONDS
from cdp_platform.warehouse.connection import act_as, application, connect

# Bounds what a process has grown to. The next one is forked with everything imported.
RUNS_PER_PROCESS = 50
# As in workspace.yaml.
_DEFINITIONS = "cdp_platform.definitions"
_CONNECT_SECONDS = 4
_ANSWER_SECONDS = 2.0
# Dagster's launcher registers its task again for each run that it launches.
warnings.filterwarnings("ignore", message="Task name 'execute_job' is already registered")


def app() -> Celery:
    """The Celery application of launcher and workers, with the broker of the REDIS_ variables.

    Raises:
        ConfigurationError: a variable is missing or wrong.
    """
    redis = settings.redis()
    password = quote(redis.password.get_secret_value(), safe="")
    return make_app(
        {
            "broker": f"redis://:{password}@{redis.host}:{redis.port}/0",
            "backend": "disabled://",
            "config_source": {
                "task_ignore_result": True,
                # A worker takes a task only when a process is free to begin it, so no run waits behind another one
                # while other workers are idle.
                "worker_disable_prefetch": True,
                "worker_prefetch_multiplier": 1,
                # A task is taken off the queue as it begins. Otherwise Redis would deliver it once more after the
                # worker died, and Dagster refuses a run that has begun already: it is retried as a run of its own.
                "task_acks_late": False,
                "worker_max_tasks_per_child": RUNS_PER_PROCESS,
                "broker_connection_timeout": _CONNECT_SECONDS,
                "broker_connection_retry_on_startup": True,
                # A worker waits for its broker for as long as that takes.
                "broker_connection_max_retries": None,
                "broker_transport_options": {
                    # After this time Redis delivers a task again that a worker has taken and not begun.
                    "visibility_timeout": 2 * LONGEST_RUN_SECONDS,
                    "socket_connect_timeout": _CONNECT_SECONDS,
                    "socket_keepalive": True,
                    "max_retries": 3,
                },
            },
        }
    )


class LeaseCheckingLauncher(CeleryRunLauncher):
    """Launches runs as Celery tasks, and takes a run for alive as long as it has a lease.

    The sensor `lost_runs` ends a run whose lease is lost. Left to the check of the launcher are runs that have begun
    and have no lease.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(default_queue=task_default_queue, inst_data=inst_data)
        self.celery = app()
        self._without_lease_since: dict[str, float] = {}

    @classmethod
    def config_type(cls) -> Any:
        """None: everything is in the environment, for the launcher and the workers alike."""
        return {}

    def launch_run(self, context: LaunchRunContext) -> None:
        """Hand the run to the broker.

        Raises:
            DagsterUserCodeUnreachableError: the broker cannot be reached. For this error alone Dagster puts the run
                back into its queue.
        """
        try:
            super().launch_run(context)
        except OperationalError as error:
            raise DagsterUserCodeUnreachableError(_unreachable(error)) from error

    @property
    def supports_resume_run(self) -> bool:
        """No: a run in progress is not continued by another process. It ends and is retried."""
        return False

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a run that has begun belongs to a process. A worker takes the lease before it begins a run."""
        if self._lease(run.run_id) is not None:
            self._without_lease_since.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        now = time.monotonic()
        if now - self._without_lease_since.setdefault(run.run_id, now) <= run_leases.SILENCE_SECONDS:
            # The run may have ended just now, or its process could not reach the warehouse yet.
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        del self._without_lease_since[run.run_id]
        return CheckRunHealthResult(WorkerStatus.FAILED, "No process holds the lease of this run.")

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> str:
        """The process that executes the run."""
        lease = self._lease(run.run_id)
        return str(lease) if lease else "No worker has begun this run. `cdp health` says which workers there are."

    def _lease(self, run_id: str) -> run_leases.Lease | None:
        with connect(settings.postgres()) as connection:
            return run_leases.find(connection).get(run_id)


class _LeasedTask(Task):
    """A run that holds its lease from before its first event until after its last one."""

    abstract = True

    def __call__(self, execute_job_args_packed: dict[str, Any]) -> Any:
        run = unpack_value(execute_job_args_packed, as_type=ExecuteRunArgs)
        # A process executes many runs, one after the other.
        act_as(run_leases.name_of_run(run.run_id, run.job_origin.job_name))
        with run_leases.held(lambda: connect(settings.postgres()), run.run_id, application()):
            return super().__call__(execute_job_args_packed=execute_job_args_packed)


def work(slots: int) -> None:
    """Execute runs in so many processes at once, until SIGTERM; then end after the runs in progress have ended."""
    # Loaded here once, and not in each process.
    import_module(_DEFINITIONS).defs()
    celery = app()
    create_execute_job_task(celery, base=_LeasedTask)  # ty: ignore[invalid-argument-type]
    celery.worker_main(
        [
            "worker",
            f"--concurrency={slots}",
            # Several workers may share a machine.
            f"--hostname={os.getpid()}@{socket.gethostname()}",
            "--loglevel=INFO",
            # Messages between workers that nobody here needs.
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )


def slots() -> dict[str, int]:
    """How many runs each worker that answers can execute at once.

    Raises:
        UnavailableError: the broker cannot be reached.
    """
    celery = app()
    try:
        with celery.connection() as connection:
            connection.ensure_connection(max_retries=1, timeout=_CONNECT_SECONDS)
            answers = celery.control.inspect(timeout=_ANSWER_SECONDS, connection=connection).stats() or {}
    except OperationalError as error:
        raise UnavailableError(f"{_unreachable(error)} Is it up, and are the REDIS_ variables right?") from error
    return {name: answer["pool"]["max-concurrency"] for name, answer in sorted(answers.items())}


def _unreachable(error: OperationalError) -> str:
    return f"Redis at {settings.redis().host}:{settings.redis().port} cannot be reached: {error}."
