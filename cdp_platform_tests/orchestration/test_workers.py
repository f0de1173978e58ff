"""The launcher knows from the lease whether a run is alive, and leaves a run to the queue while there is no broker."""

from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher

from cdp_platform import settings
from cdp_platform.errors import ConfigurationError, UnavailableError
from cdp_platform.ops.run_leases import SILENCE_SECONDS, this_process
from cdp_platform.orchestration import workers
from cdp_platform.orchestration.lost_runs import LONGEST_RUN_SECONDS
from cdp_platform.orchestration.workers import LeaseCheckingLauncher
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.orchestration.test_lost_runs import lease, started

PASSWORD = "hush/4711@"


@pytest.fixture
def launcher(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> LeaseCheckingLauncher:
    """One whose broker does not answer."""
    for name, value in {"HOST": "127.0.0.1", "PORT": "1", "PASSWORD": PASSWORD}.items():
        monkeypatch.setenv(f"REDIS_{name}", value)
    settings.forget()
    return LeaseCheckingLauncher()


def health(launcher: LeaseCheckingLauncher, instance: dg.DagsterInstance, run_id: str) -> WorkerStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return launcher.check_run_worker_health(run).status


def test_a_run_with_a_lease_is_alive_whatever_the_broker_says(
    launcher: LeaseCheckingLauncher, instance: dg.DagsterInstance, app: psycopg.Connection
):
    run_id = started(instance)
    lease(app, run_id, this_process())
    assert health(launcher, instance, run_id) == WorkerStatus.RUNNING
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert f"process {this_process().pid}" in launcher.get_run_worker_debug_info(run)


def test_a_run_that_has_begun_and_has_no_lease_for_long_is_failed(
    launcher: LeaseCheckingLauncher,
    instance: dg.DagsterInstance,
    app: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
):
    run_id = started(instance)
    now = 1000.0
    monkeypatch.setattr(workers.time, "monotonic", lambda: now)
    assert health(launcher, instance, run_id) == WorkerStatus.RUNNING
    now += SILENCE_SECONDS - 1
    assert health(launcher, instance, run_id) == WorkerStatus.RUNNING
    # Seen in between, it begins anew.
    lease(app, run_id, this_process())
    assert health(launcher, instance, run_id) == WorkerStatus.RUNNING
    app.execute("DELETE FROM ops.run_lease")
    now += SILENCE_SECONDS
    assert health(launcher, instance, run_id) == WorkerStatus.RUNNING
    now += SILENCE_SECONDS + 1
    assert health(launcher, instance, run_id) == WorkerStatus.FAILED


def test_without_a_broker_a_run_goes_back_into_the_queue(
    launcher: LeaseCheckingLauncher, monkeypatch: pytest.MonkeyPatch
):
    def publish(self: CeleryRunLauncher, _context: Any) -> None:
        self.celery.send_task("execute_job", queue="dagster")

    monkeypatch.setattr(CeleryRunLauncher, "launch_run", publish)
    context: Any = None
    with pytest.raises(DagsterUserCodeUnreachableError, match=r"Redis at 127\.0\.0\.1:1 cannot be reached") as raised:
        launcher.launch_run(context)
    assert PASSWORD not in str(raised.value)


def test_a_task_that_was_taken_is_delivered_to_nobody_else(launcher: LeaseCheckingLauncher):
    configured = launcher.celery.conf
    assert not configured.task_acks_late
    assert configured.worker_disable_prefetch
    assert configured.broker_transport_options["visibility_timeout"] > LONGEST_RUN_SECONDS
    assert launcher.celery.backend.as_uri() == "disabled://"


def test_slots_of_workers_behind_a_broker_that_is_away(launcher: LeaseCheckingLauncher):
    with pytest.raises(UnavailableError, match=r"Redis at 127\.0\.0\.1:1 cannot be reached"):
        workers.slots()


@pytest.mark.usefixtures("warehouse")
def test_a_broker_without_a_password_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
    settings.forget()
    with pytest.raises(ConfigurationError, match="REDIS_PASSWORD is missing"):
        LeaseCheckingLauncher()
