"""A platform on several machines: a daemon, and workers in folders of their own that share PostgreSQL and Redis."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import httpx2
import psutil
import pytest
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from cdp_platform import settings
from cdp_platform.ops import run_leases, tenants
from cdp_platform.orchestration import partitions
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.processes.conftest import PROGRAMS, Checkout, Finished, new_checkout, wait_for
from cdp_platform_tests.processes.test_many_tenants import open_shop, purchase, put
from cdp_platform_tests.redis_server import RedisServer
from cdp_sandbox.demo.model import CONVERSIONS

# `open_shop` gives each tenant so many purchases.
_AT_FIRST = 3


@dataclass
class Program:
    """A program with all that it starts, which is killed, stopped and woken together."""

    name: str
    command: list[str]
    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.txt"

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def has(self, pid: int) -> bool:
        return self.process is not None and psutil.pid_exists(pid) and os.getpgid(pid) == self.process.pid


@dataclass
class Machines:
    """The platform.

    Attributes:
        purchases: how many each tenant has in its source.
    """

    checkout: Checkout
    redis: RedisServer
    instance: dg.DagsterInstance
    warehouse: settings.PostgresSettings
    daemon: Program
    workers: list[Program]
    tenant_ids: list[str]
    purchases: Counter[str] = field(default_factory=Counter)

    def change(self, tenant_ids: Iterable[str]) -> None:
        """One more purchase for each of these tenants."""
        moment = datetime.now(UTC)
        with self._source() as source:
            for tenant in tenant_ids:
                put(source, tenant, CONVERSIONS, [purchase(0, moment)])
                self.purchases[tenant] += 1

    def taken(self) -> dict[str, int]:
        """Purchases of each tenant that are in the warehouse."""
        with self.checkout.superuser("warehouse") as connection:
            return dict(
                connection.execute("SELECT tenant_id, count(*) FROM customers.transactions GROUP BY 1").fetchall()
            )

    def versions(self) -> set[tuple[Any, ...]]:
        """Every row that runs write, and the transaction that wrote it."""
        with self.checkout.superuser("warehouse") as connection:
            return {
                row
                for table in ("transactions", "customer_metrics", "cdp_profiles")
                for row in connection.execute(
                    f"SELECT '{table}', tenant_id, ctid::text, xmin::text FROM customers.{table}"
                )
            }

    def open_runs(self) -> Sequence[dg.DagsterRun]:
        return self.instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))

    def settled(self, seconds: float, what: str) -> None:
        """Wait until the targets equal the sources and no run is open."""
        wait_for(lambda: self.taken() == self.purchases and not self.open_runs(), seconds, what)

    def executing(self) -> dict[str, run_leases.Lease]:
        with connect(self.warehouse) as connection:
            return run_leases.find(connection)

    def begun(self, seconds: float, *, beside: Iterable[str] = ()) -> tuple[dg.DagsterRun, run_leases.Lease]:
        """Wait until a run of customers is in the hands of a worker."""

        def first() -> tuple[dg.DagsterRun, run_leases.Lease] | None:
            runs = self.instance.get_runs(
                dg.RunsFilter(job_name="customers_sync", statuses=[dg.DagsterRunStatus.STARTED])
            )
            leases = self.executing()
            found = [(run, leases[run.run_id]) for run in runs if run.run_id in leases and run.run_id not in beside]
            return found[0] if found else None

        return wait_for(first, seconds, "a run begins on a worker")

    def status(self, run: dg.DagsterRun) -> dg.DagsterRunStatus:
        found = self.instance.get_run_by_id(run.run_id)
        assert found is not None
        return found.status

    def worker_of(self, lease: run_leases.Lease) -> Program:
        (worker,) = [each for each in self.workers if each.has(lease.pid)]
        return worker

    def cdp(self, *arguments: str) -> Finished:
        return self.checkout.cdp(*arguments, **self.redis.variables)

    def health(self) -> dict[str, Any]:
        found = json.loads(self.cdp("health", "--json").out)
        return next(each for each in found if each["system"] == "Redis (workers)")

    def _source(self) -> httpx2.Client:
        env = self.checkout.env
        return httpx2.Client(base_url=env["ARANGO_HOST"], auth=(env["ARANGO_USER"], env["ARANGO_PASSWORD"]), timeout=60)


def _configured(file: Path, *, runs_at_once: int) -> None:
    """Take the comment signs off the launcher, as the page on operating says, and wait for less."""
    text = file.read_text()
    for old, new in (
        ("# run_launcher:\n#   module:", "run_launcher:\n  module:"),
        ("#   class: LeaseCheckingLauncher", "  class: LeaseCheckingLauncher"),
        ("key: cdp/queued, limit: 4", f"key: cdp/queued, limit: {runs_at_once}"),
        ("start_timeout_seconds: 180", "start_timeout_seconds: 20"),
        ("poll_interval_seconds: 15", "poll_interval_seconds: 5"),
        ("user_code_failure_retry_delay: 15", "user_code_failure_retry_delay: 5"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    file.write_text(text)


def _worker(checkout: Checkout, redis: RedisServer, folder: Path) -> Program:
    """A worker in a folder that has only what `cdp init` and the page on operating tell to put there."""
    folder.mkdir()
    for name in ("channels.yaml", "dagster.yaml", "workspace.yaml"):
        shutil.copyfile(checkout.root / name, folder / name)
    env = re.sub(r"(?m)^DAGSTER_HOME=.*$", f"DAGSTER_HOME={folder}", (checkout.root / ".env").read_text())
    (folder / ".env").write_text(env)
    command = [str(PROGRAMS / "cdp"), "worker", "--slots", "1"]
    return Program("worker", command, folder, checkout.environment(**redis.variables))


@contextmanager
def prepared(folder: Path, *, tenants_wanted: int, workers: int, runs_at_once: int) -> Generator[Machines]:
    """Services and so many tenants, whose sources are new; daemon and workers are not started, but ended."""
    checkout = new_checkout(folder)
    redis = RedisServer(folder)
    programs: list[Program] = []
    try:
        _configured(checkout.root / "dagster.yaml", runs_at_once=runs_at_once)
        redis.start()
        assert checkout.cdp("sandbox", "start").code == 0
        assert checkout.cdp("migrate").code == 0
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**checkout.env, **redis.variables}.items():
                patch.setenv(name, value)
            settings.forget()
            instance = dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"])
            warehouse = settings.PostgresSettings()
        command = [str(PROGRAMS / "dagster-daemon"), "run", "-w", "workspace.yaml"]
        environment = checkout.environment(**checkout.env, **redis.variables)
        daemon = Program("daemon", command, checkout.root, environment)
        made = Machines(
            checkout,
            redis,
            instance,
            warehouse,
            daemon,
            [_worker(checkout, redis, folder / f"machine-{number}") for number in range(workers)],
            [f"tenant-{number:02}" for number in range(tenants_wanted)],
        )
        programs = [daemon, *made.workers]
        with instance:
            with made._source() as source, connect(warehouse) as connection:
                for tenant in made.tenant_ids:
                    open_shop(source, tenant)
                    made.purchases[tenant] = _AT_FIRST
                    tenants.add(connection, tenant, arango_database=tenant)
                partitions.keep_in_step(instance, tenants.registered(connection))
            yield made
    finally:
        for program in programs:
            program.kill()
        redis.stop()
        checkout.sandbox.reset()
        settings.forget()
