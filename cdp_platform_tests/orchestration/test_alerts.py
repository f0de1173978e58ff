"""The sensor keeps failed runs, failed checks, and what tables and daemons say, and each ends with its cause."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import dagster as dg
import psycopg
import pytest

from cdp_platform.build import build_definitions
from cdp_platform.ops import tenants
from cdp_platform.ops.alerts import Alert, listed
from cdp_platform.orchestration import daemons, lost_runs, partitions
from cdp_platform.orchestration.alerts import alerts_sensor
from cdp_platform.orchestration.lost_runs import Standstill
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.warehouse.connection import tenant_transaction

SECRET = "sk-secret-of-somebody"
PERSON = "jane.doe@customer.example"

RESOURCES = {"warehouse": WarehouseResource()}
Tick = Callable[[], dg.SensorResult]


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return build_definitions().get_repository_def()


@pytest.fixture
def tick(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition, app: psycopg.Connection) -> Tick:
    """A tick of the sensor that the platform has, from where the last one ended."""
    sensor = repository.get_sensor_def("alerts")
    cursor: list[str | None] = [None]

    def run() -> dg.SensorResult:
        with dg.build_sensor_context(instance, cursor[0], repository_def=repository, resources=RESOURCES) as context:
            result: Any = sensor(context)
        cursor[0] = result.cursor
        return result

    return run


def found(app: psycopg.Connection) -> dict[tuple[str, str, str], Alert]:
    return {(each.kind, each.subject, each.tenant): each for each in listed(app)}


def ended(app: psycopg.Connection) -> list[str]:
    return [each.kind for each in listed(app, ended_within=timedelta(hours=1)) if each.state == "ended"]


def a_run(instance: dg.DagsterInstance, *, fails: bool, of: str = "", failing: str = "", name: str = "work") -> str:
    """A run of a job for these tenants, of which some fail."""

    @dg.op
    def step() -> None:
        if failing:
            raise dg.Failure(f"{failing}: The source does not answer.", metadata={"failed": failing})
        if fails:
            raise ValueError(f"{SECRET} {PERSON}")

    @dg.job(name=name)
    def job() -> None:
        step()

    keys = of.split()
    tags = partitions.range_tags(keys) if keys else {}
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False).run_id


def evaluated(instance: dg.DagsterInstance, *, passed: bool, partition: str | None = None, **metadata: Any) -> None:
    evaluation = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(["customers", "cdp_profiles"]),
        check_name="keys_unique",
        passed=passed,
        partition=partition,
        description="2 keys stand twice.",
        metadata=metadata,
    )
    event = dg.DagsterEvent(dg.DagsterEventType.ASSET_CHECK_EVALUATION.value, "job", event_specific_data=evaluation)
    instance.report_dagster_event(event, run_id=str(uuid4()))


@pytest.fixture
def two_tenants(app: psycopg.Connection, instance: dg.DagsterInstance) -> None:
    for tenant_id in ("acme", "beta"):
        tenants.add(app, tenant_id, arango_database="")
    partitions.keep_in_step(instance, tenants.registered(app))


def test_a_failed_run_is_an_alert_with_its_run_until_one_succeeds(
    app: psycopg.Connection, instance: dg.DagsterInstance, tick: Tick
):
    tick()
    run_id = a_run(instance, fails=True)
    tick()
    assert found(app)["run", "work", ""].run_id == run_id
    a_run(instance, fails=False)
    tick()
    assert found(app) == {}
    assert ended(app) == ["run"]


@pytest.mark.usefixtures("two_tenants")
def test_of_a_range_only_the_tenants_that_failed_are_named(
    app: psycopg.Connection, instance: dg.DagsterInstance, tick: Tick
):
    a_run(instance, fails=True, of="acme beta", failing="beta")
    tick()
    assert list(found(app)) == [("run", "work", "beta")]
    assert "does not answer" in found(app)["run", "work", "beta"].message
    a_run(instance, fails=False, of="beta")
    tick()
    assert found(app) == {}


def test_what_failed_and_succeeded_between_two_ticks_was_an_alert_too(
    app: psycopg.Connection, instance: dg.DagsterInstance, tick: Tick
):
    tick()
    a_run(instance, fails=True)
    a_run(instance, fails=False)
    tick()
    assert (found(app), ended(app)) == ({}, ["run"])


def test_no_data_of_an_error_reaches_an_alert(app: psycopg.Connection, instance: dg.DagsterInstance, tick: Tick):
    a_run(instance, fails=True)
    tick()
    (alert,) = found(app).values()
    assert "ValueError" in alert.message
    kept = str(app.execute("SELECT a::text FROM ops.alert AS a").fetchall())
    assert SECRET not in kept
    assert PERSON not in kept


@pytest.mark.usefixtures("two_tenants")
def test_a_failed_check_is_an_alert_of_its_tenant_and_its_owner(
    app: psycopg.Connection, instance: dg.DagsterInstance, tick: Tick
):
    evaluated(instance, passed=False, partition="acme")
    evaluated(instance, passed=True, partition="beta")
    # The result over both of them.
    evaluated(instance, passed=False, examined=2)
    tick()
    ((key, alert),) = found(app).items()
    assert key == ("check", "customers/cdp_profiles: keys_unique", "acme")
    assert (alert.room, alert.owners) == ("customers", ["team:customer-data"])
    evaluated(instance, passed=True, partition="acme")
    tick()
    assert found(app) == {}


@pytest.mark.usefixtures("two_tenants")
def test_what_the_tables_say_is_an_alert_while_they_say_it(app: psycopg.Connection, tick: Tick):
    with tenant_transaction(app, "acme"):
        app.execute(
            "INSERT INTO ops.rejected_record (tenant_id, source, document_key, code, path, message, document)"
            " VALUES ('acme', 'cdp_profile', 'p1', 'not_a_number', '$.x', %s, %s)",
            [PERSON, f'{{"email": "{PERSON}"}}'],
        )
    app.execute(
        "INSERT INTO ops.gate (name, open_until, reason) VALUES ('apollo', now() + interval '1 hour', 'HTTP 503')"
    )
    tick()
    assert set(found(app)) == {("rejected", "cdp_profile", "acme"), ("breaker", "apollo", "")}
    assert found(app)["rejected", "cdp_profile", "acme"].owners == ["team:customer-data"]
    tick()
    assert found(app)["rejected", "cdp_profile", "acme"].count == 1
    assert found(app)["breaker", "apollo", ""].count == 2
    assert PERSON not in str(app.execute("SELECT a::text FROM ops.alert AS a").fetchall())
    with tenant_transaction(app, "acme"):
        app.execute("UPDATE ops.rejected_record SET resolved_at = now()")
    app.execute("UPDATE ops.gate SET open_until = NULL")
    tick()
    assert found(app) == {}


def test_a_stale_source_is_an_alert(app: psycopg.Connection, tick: Tick):
    tenants.add(app, "acme", arango_database="acme")
    tick()
    assert found(app) == {}, "a tenant that was just added is not late"
    with tenant_transaction(app, "acme"):
        app.execute("UPDATE ops.tenant SET created_at = now() - interval '2 hours'")
        app.execute(
            "INSERT INTO ops.sync_watermark (tenant_id, source, last_success_at) VALUES ('acme', 'cdp_profile', now())"
        )
    tick()
    assert list(found(app)) == [("stale", "cdp_profile2conversion", "acme")]


def test_a_queue_that_stands_still_is_an_alert(app: psycopg.Connection, tick: Tick):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lost_runs, "look", lambda _: Standstill(4, 7, ["7 runs wait in the queue."]))
        tick()
    assert list(found(app)) == [("queue", "runs", "")]
    tick()
    assert found(app) == {}


def test_a_silent_daemon_is_an_alert(app: psycopg.Connection, tick: Tick, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(daemons, "silent", lambda *_: {"SCHEDULER": 400.0, "BACKFILL": None})
    tick()
    assert set(found(app)) == {("daemon", "SCHEDULER", ""), ("daemon", "BACKFILL", "")}
    assert "silent for 7 minutes" in found(app)["daemon", "SCHEDULER", ""].message


def test_why_messages_wait_is_in_the_log_and_stops_nothing(
    app: psycopg.Connection, instance: dg.DagsterInstance, repository: dg.RepositoryDefinition
):
    sensor = alerts_sensor(lambda _: [], [], lambda _: ["the channel is down"])
    with dg.build_sensor_context(instance, repository_def=repository, resources=RESOURCES) as context:
        result: Any = sensor(context)
    assert "1 messages wait" in str(result.skip_reason)
