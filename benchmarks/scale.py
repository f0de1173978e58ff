"""What a run costs on a worker and as a process of its own, and how many runs 1, 2 and 4 workers of one slot execute.

The contestants are the run launchers, with the platform's definitions, on an embedded PostgreSQL and a Redis of their
own. Every run is `customers_sync` of one tenant that has little to read, so it is mostly start, end and events. The
runs are launched straight through the launcher, without Dagster's queue: the default launcher gets the next one when
one of two has ended, and workers take theirs from Redis.

CPU is that of the code server or the workers with all that they start; that of PostgreSQL and Redis is not in it. What
loads once (the code server, the workers) is not in it either. All share the machine with PostgreSQL, so a third worker
on two cores gains little.

    python -m benchmarks.scale [--tenants N] [--runs N] [--json]
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget

from benchmarks.cpu import used_by
from benchmarks.reporting import Bar, arguments, finish, narrate
from cdp_platform.definitions import defs
from cdp_platform_tests.processes.machines import Machines, prepared

_MODULE = "cdp_platform.definitions"
_JOB = "customers_sync"
_WORKERS = (1, 2, 4)
_AT_ONCE = 2
_LONGEST_SECONDS = 900
# Of a run of the default launcher, that of a run on a worker. Seen before: 1.1 s to 5.6 s for one trivial asset.
_BAR = 0.5


class _Launching:
    """Launches runs of one tenant each on an instance."""

    def __init__(self, instance: dg.DagsterInstance, workspace: WorkspaceProcessContext) -> None:
        self._instance = instance
        self._context = workspace.create_request_context()
        location = self._context.get_code_location(_MODULE)
        self._job = location.get_repository("__repository__").get_full_job(_JOB)

    def launch(self, tenant_id: str) -> str:
        run = self._instance.create_run_for_job(
            defs().resolve_job_def(_JOB),
            status=dg.DagsterRunStatus.STARTING,
            tags={"dagster/partition": tenant_id},
            remote_job_origin=self._job.get_remote_origin(),
            job_code_origin=self._job.get_python_origin(),
        )
        self._instance.launch_run(run.run_id, self._context)
        return run.run_id

    def open(self, run_ids: Sequence[str]) -> int:
        if not run_ids:
            return 0
        runs = self._instance.get_runs(dg.RunsFilter(run_ids=list(run_ids)))
        failed = [run.run_id for run in runs if run.status == dg.DagsterRunStatus.FAILURE]
        if failed:
            raise RuntimeError(f"runs failed: {failed}")
        return sum(not run.is_finished for run in runs)

    def all_done(self, tenant_ids: Sequence[str], at_once: int) -> float:
        """Execute a run for each, so many in progress at once; returns seconds."""
        began = time.monotonic()
        launched: list[str] = []
        for tenant_id in tenant_ids:
            while self.open(launched) >= at_once:
                self._wait(began)
            launched.append(self.launch(tenant_id))
        while self.open(launched):
            self._wait(began)
        return time.monotonic() - began

    @staticmethod
    def _wait(began: float) -> None:
        if time.monotonic() - began > _LONGEST_SECONDS:
            raise TimeoutError(f"the runs are not done after {_LONGEST_SECONDS} s")
        time.sleep(0.1)


@contextmanager
def _working(platform: Machines, count: int) -> Generator[list[psutil.Process]]:
    workers = platform.workers[:count]
    for worker in workers:
        worker.start()
    try:
        while platform.health()["version"] != f"{count} workers, {count} slots":
            time.sleep(0.5)
        yield [psutil.Process(worker.process.pid) for worker in workers if worker.process]
    finally:
        for worker in workers:
            worker.signal(signal.SIGTERM)
            if worker.process:
                worker.process.wait(120)


def _family(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    return [each for process in processes for each in (process, *process.children(recursive=True))]


def _row(launcher: str, runs: int, seconds: float, cpu: float) -> dict[str, Any]:
    return {
        "launcher": launcher,
        "runs": runs,
        "seconds a run": round(seconds / runs, 2),
        "CPU s a run": round(cpu / runs, 2),
        "runs a minute": round(60 * runs / seconds, 1),
    }


def _default(platform: Machines, tenant_ids: Sequence[str]) -> dict[str, Any]:
    home = platform.checkout.home / "default"
    home.mkdir()
    text = Path(os.environ["DAGSTER_HOME"], "dagster.yaml").read_text()
    launcher, rest = text.partition("run_launcher:")[::2]
    (home / "dagster.yaml").write_text(launcher + rest.partition("\n\n")[2])
    os.environ["DAGSTER_HOME"] = str(home)
    target = ModuleTarget(_MODULE, None, str(platform.checkout.root), _MODULE)
    with dg.DagsterInstance.from_config(str(home)) as instance, WorkspaceProcessContext(instance, target) as workspace:
        launching = _Launching(instance, workspace)
        before = used_by(_family(_code_servers()))
        seconds = launching.all_done(tenant_ids, _AT_ONCE)
        cpu = used_by(_family(_code_servers())) - before
    return _row(f"DefaultRunLauncher, {_AT_ONCE} at once", len(tenant_ids), seconds, cpu)


def _code_servers() -> list[psutil.Process]:
    children = [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
    return [each for each in children if "grpc" in " ".join(each.cmdline())]


def _celery(platform: Machines, tenant_ids: Sequence[str]) -> Generator[dict[str, Any]]:
    target = ModuleTarget(_MODULE, None, str(platform.checkout.root), _MODULE)
    with WorkspaceProcessContext(platform.instance, target) as workspace:
        launching = _Launching(platform.instance, workspace)
        for count in _WORKERS:
            narrate(f"{count} workers")
            with _working(platform, count) as workers:
                # The first of a process resolves the definitions.
                launching.all_done(tenant_ids[:count], count)
                before = used_by(_family(workers))
                seconds = launching.all_done(tenant_ids, len(tenant_ids))
                cpu = used_by(_family(workers)) - before
            yield _row(f"LeaseCheckingLauncher, {count} workers", len(tenant_ids), seconds, cpu)


def main() -> int:
    """Run the benchmark."""
    parser = arguments(__doc__)
    parser.add_argument("--tenants", type=int, default=40)
    parser.add_argument("--runs", type=int, default=40, help="runs of the default launcher")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        prepared(Path(folder), tenants_wanted=options.tenants, workers=max(_WORKERS), runs_at_once=2) as platform,
    ):
        os.environ.update(platform.checkout.env | platform.redis.variables)
        os.chdir(platform.checkout.root)
        rows = list(_celery(platform, platform.tenant_ids))
        narrate("default launcher")
        rows.append(_default(platform, platform.tenant_ids[: options.runs]))
    cpu = {row["launcher"]: row["CPU s a run"] for row in rows}
    ratio = cpu[f"LeaseCheckingLauncher, {_AT_ONCE} workers"] / cpu[f"DefaultRunLauncher, {_AT_ONCE} at once"]
    return finish(
        f"one run of {_JOB} for each of {options.tenants} tenants",
        rows,
        [Bar("CPU of a run on a worker, to one of the default launcher", round(ratio, 2), _BAR, at_least=False)],
        contestants=["dagster-celery", "celery"],
        as_json=options.as_json,
    )


if __name__ == "__main__":
    sys.exit(main())
