"""What watchers outside see of Dagster: over its own storage, as it is deployed."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from cdp_platform.cli.deployed import _code_server, deployed
from cdp_platform.health import dagster_figures, dagster_home, metrics
from cdp_platform.health.findings import Finding
from cdp_platform.ops.alerts import Trouble, note


@pytest.fixture
def platform(home: Path, app: psycopg.Connection) -> Iterator[dg.DagsterInstance]:
    """Dagster as it is configured, with a database of its own."""
    with dg.DagsterInstance.get() as instance:
        yield instance


def beat(instance: dg.DagsterInstance, *, seconds_ago: float) -> None:
    for name in instance.get_required_daemon_types():
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - seconds_ago, name, "one", []))


def states() -> dict[str, str]:
    return {finding.system: finding.state for finding in deployed()}


def a_run(instance: dg.DagsterInstance) -> str:
    @dg.job
    def job() -> None:
        pass

    return job.execute_in_process(instance=instance).run_id


def test_figures_of_dagster_are_those_of_its_storage(platform: dg.DagsterInstance, app: psycopg.Connection):
    a_run(platform)
    beat(platform, seconds_ago=120)
    conninfo = dagster_home.conninfo()
    assert conninfo is not None
    found = dagster_figures.read(conninfo)
    assert found.runs == {"SUCCESS": 1}
    assert found.oldest_queued_seconds is None
    assert set(found.waits) == {"median", "max"}
    assert 0 <= found.waits["median"] <= found.waits["max"] < 60
    assert set(found.heartbeats) == set(platform.get_required_daemon_types())
    assert all(age == pytest.approx(120, abs=30) for age in found.heartbeats.values())
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(
            "UPDATE runs SET status = 'QUEUED', create_timestamp = localtimestamp - interval '5 minutes'"
        )
    waiting = dagster_figures.read(conninfo).oldest_queued_seconds
    assert waiting == pytest.approx(300, abs=30)
    text = metrics.render(app, conninfo, most_tenants=1).decode()
    assert 'cdp_up{database="dagster"} 1.0' in text
    assert 'cdp_dagster_runs{status="QUEUED"} 1.0' in text


def test_daemons_without_a_heartbeat_are_an_error(platform: dg.DagsterInstance):
    assert states()["Daemons"] == "error"
    beat(platform, seconds_ago=1)
    assert states()["Daemons"] == "ok"
    beat(platform, seconds_ago=400)
    assert states()["Daemons"] == "error"


def test_open_alerts_are_a_warning_and_one_that_cannot_be_told_is_an_error(
    platform: dg.DagsterInstance, app: psycopg.Connection
):
    assert states()["Alerts"] == "ok"
    note(app, [Trouble("breaker", "apollo", "Not called.")])
    assert states()["Alerts"] == "warn"
    app.execute(
        "INSERT INTO ops.alert_message (owner, channel, subject, content, created_at)"
        " VALUES ('*', 'ops', 's', 'c', now() - interval '11 minutes')"
    )
    assert states()["Alerts"] == "error"


def test_a_code_server_that_evaluates_no_sensor_is_an_error():
    def state_after(*seconds_ago: float) -> str:
        state = SimpleNamespace(instigator_name="alerts", instigator_origin_id="o", selector_id="s")
        instance: Any = SimpleNamespace(
            all_instigator_state=lambda: [state],
            get_ticks=lambda *_, **__: [SimpleNamespace(timestamp=time.time() - each) for each in seconds_ago],
        )
        finding = Finding("Code server")
        _code_server(instance, finding)
        return finding.state

    assert [state_after(), state_after(10), state_after(400)] == ["error", "ok", "error"]
