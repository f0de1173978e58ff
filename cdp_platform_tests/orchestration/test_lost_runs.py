"""Runs whose process is gone are ended; those that live are left alone; what stands still is named."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg
import psycopg
import pytest

from cdp_platform.ops import run_leases
from cdp_platform.ops.run_leases import SILENCE_SECONDS, Process, this_process
from cdp_platform.orchestration.lost_runs import (
    LONGEST_RUN_SECONDS,
    end_lost,
    look,
    lost_process,
    lost_runs,
    moving,
)
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.conftest import Warehouse


@dg.op
def nothing() -> None:
    pass


@dg.job
def some_job() -> None:
    nothing()


def started(instance: dg.DagsterInstance, **tags: str) -> str:
    return instance.create_run_for_job(some_job, status=dg.DagsterRunStatus.STARTED, tags=tags).run_id


def lease(app: psycopg.Connection, run_id: str, process: Process, *, silent_seconds: float = 0.0) -> None:
    app.execute(
        "INSERT INTO ops.run_lease (run_id, command, host, space, pid, process_started_at, renewed_at)"
        " VALUES (%s, 'cdp sync', %s, %s, %s, %s, clock_timestamp() - make_interval(secs => %s))",
        [run_id, process.host, process.space, process.pid, process.started_at, silent_seconds],
    )
    # The server of the tests has not been up for long, and its own absence is nobody's silence.
    if silent_seconds:
        started_at = app.execute("SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())").fetchone()
        time.sleep(max(0.0, silent_seconds - float(started_at[0]) + 1 if started_at else 0.0))


def is_failed(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status == dg.DagsterRunStatus.FAILURE


def a_dead_process() -> Process:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return replace(this_process(), pid=process.pid)


def test_a_run_whose_process_is_gone_is_ended_at_once(app: psycopg.Connection, instance: dg.DagsterInstance):
    run_id = started(instance)
    lease(app, run_id, a_dead_process())
    (ended,) = end_lost(instance, app)
    assert ended.run_id == run_id
    assert is_failed(instance, run_id)
    assert end_lost(instance, app) == []
    assert run_leases.find(app) == {}


def test_a_run_whose_number_went_to_another_process_is_ended(app: psycopg.Connection, instance: dg.DagsterInstance):
    run_id = started(instance)
    lease(app, run_id, replace(this_process(), started_at=datetime(2020, 1, 1, tzinfo=UTC)))
    end_lost(instance, app)
    assert is_failed(instance, run_id)


def test_a_run_of_another_machine_is_ended_once_it_is_silent(app: psycopg.Connection, instance: dg.DagsterInstance):
    elsewhere = replace(this_process(), host="pod-7", space="another boot of another machine")
    speaking, silent = started(instance), started(instance)
    lease(app, speaking, elsewhere)
    lease(app, silent, elsewhere, silent_seconds=SILENCE_SECONDS + 5)
    app.execute("UPDATE ops.run_lease SET renewed_at = clock_timestamp() WHERE run_id = %s", [speaking])
    assert [each.run_id for each in end_lost(instance, app)] == [silent]
    assert is_failed(instance, silent)
    assert not is_failed(instance, speaking)


def test_a_process_that_lives_keeps_its_run_however_silent_it_is(app: psycopg.Connection, instance: dg.DagsterInstance):
    """As after the sleep of a laptop, when it has not spoken yet."""
    run_id = started(instance)
    lease(app, run_id, this_process(), silent_seconds=SILENCE_SECONDS + 5)
    assert end_lost(instance, app) == []
    assert not is_failed(instance, run_id)


def test_a_run_of_another_instance_is_left_to_that(app: psycopg.Connection, instance: dg.DagsterInstance):
    lease(app, "of another instance", a_dead_process())
    assert end_lost(instance, app) == []
    assert set(run_leases.find(app)) == {"of another instance"}


def test_a_run_that_ended_by_itself_is_not_reported_as_failed(app: psycopg.Connection, instance: dg.DagsterInstance):
    """It was killed between its last event and the end of its lease."""
    run_id = some_job.execute_in_process(instance=instance).run_id
    lease(app, run_id, a_dead_process())
    end_lost(instance, app)
    assert not is_failed(instance, run_id)
    assert run_leases.find(app) == {}


@pytest.mark.usefixtures("warehouse")
def test_every_run_of_the_platform_holds_a_lease_while_it_runs(app: psycopg.Connection, instance: dg.DagsterInstance):
    seen = {}

    @dg.asset
    def looks_at_leases(warehouse: WarehouseResource) -> dg.MaterializeResult:
        with warehouse.connect() as connection:
            seen.update(run_leases.find(connection))
        return dg.MaterializeResult()

    result = dg.materialize([looks_at_leases], resources={"warehouse": WarehouseResource()}, instance=instance)
    (held,) = seen.values()
    assert (held.run_id, held.pid) == (result.run_id, os.getpid())
    assert not held.lost
    assert run_leases.find(app) == {}


def test_a_lease_is_renewed_while_it_is_held(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_leases, "RENEW_SECONDS", 0.2)
    with connect(warehouse.settings) as app:
        with run_leases.held(lambda: connect(warehouse.settings), "a run", "cdp sync"):
            first = app.execute("SELECT renewed_at FROM ops.run_lease").fetchone()
            deadline = time.monotonic() + 60
            while app.execute("SELECT renewed_at FROM ops.run_lease").fetchone() == first:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert run_leases.find(app) == {}


_HOLDER = """
import sys, time
from cdp_platform import settings
from cdp_platform.ops import run_leases
from cdp_platform.warehouse.connection import connect
run_leases.RENEW_SECONDS = 0.2
with run_leases.held(lambda: connect(settings.postgres()), "a run", "run a-run some_job"):
    print("held", flush=True)
    time.sleep(120)
"""


def test_a_process_whose_run_was_ended_by_others_ends(warehouse: Warehouse, app: psycopg.Connection):
    """As one that was stopped while its run was retried elsewhere, and is woken."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER],
        env={**os.environ, **warehouse.environment()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        app.execute("DELETE FROM ops.run_lease")
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The run a run was ended by others" in said
    assert run_leases.find(app) == {}


def test_what_a_lost_run_has_not_committed_is_never_committed(
    warehouse: Warehouse, app: psycopg.Connection, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    run_id = started(instance)
    lease(app, run_id, a_dead_process())
    monkeypatch.setattr("cdp_platform.warehouse.connection._application", run_leases.name_of_run(run_id, "some_job"))
    with connect(warehouse.settings) as of_the_run:
        monkeypatch.setattr("cdp_platform.warehouse.connection._application", "another")
        with connect(warehouse.settings) as of_another:
            end_lost(instance, app)
            with pytest.raises(psycopg.OperationalError):
                of_the_run.execute("SELECT 1")
            assert of_another.execute("SELECT 1").fetchone() == (1,)
    assert is_failed(instance, run_id)


def test_the_process_of_a_lost_run_is_named(app: psycopg.Connection, instance: dg.DagsterInstance):
    run_id, other = started(instance), started(instance)
    process = a_dead_process()
    lease(app, run_id, process)
    end_lost(instance, app)
    assert lost_process(instance, run_id) == f"cdp sync (process {process.pid} on {process.host})"
    run = instance.get_run_by_id(other)
    assert run is not None
    instance.report_run_failed(run, "Something else.")
    assert lost_process(instance, other) is None


def test_runs_that_are_too_old_are_named(instance: dg.DagsterInstance):
    run_id = started(instance)
    assert look(instance).flaws == []
    (flaw,) = look(instance, time.time() + LONGEST_RUN_SECONDS + 60).flaws
    assert run_id in flaw
    assert "some_job" in flaw
    assert "Terminate" in flaw


def test_the_sensor_tells_the_check_once_per_change(
    app: psycopg.Connection, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    resources = {"warehouse": WarehouseResource()}
    started(instance)

    def tick(cursor: str | None) -> dg.SensorResult:
        with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
            result = lost_runs(context)
        assert isinstance(result, dg.SensorResult)
        return result

    first = tick(None)
    (told,) = first.asset_events
    assert isinstance(told, dg.AssetCheckEvaluation)
    assert told.passed
    assert tick(first.cursor).asset_events == []
    monkeypatch.setattr("cdp_platform.orchestration.lost_runs.LONGEST_RUN_SECONDS", -1)
    (told,) = tick(first.cursor).asset_events
    assert isinstance(told, dg.AssetCheckEvaluation)
    assert not told.passed
    assert "Runs in progress" in (told.description or "")


def test_the_check_can_be_asked_by_hand(instance: dg.DagsterInstance):
    found = moving(dg.build_asset_check_context(instance=instance))
    assert isinstance(found, dg.AssetCheckResult)
    assert found.passed
