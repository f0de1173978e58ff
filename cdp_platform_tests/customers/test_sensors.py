"""What the sensors, the schedule and the automation condition ask for, tick by tick on a real instance."""

import warnings
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest

from cdp_platform.build import build_definitions
from cdp_platform.customers import sensors
from cdp_platform.customers.source import SourceState
from cdp_platform.orchestration import partitions
from cdp_platform.orchestration.in_process import run_job
from cdp_platform.warehouse import tenants
from cdp_platform_tests.customers.conftest import Leo

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")


@pytest.fixture
def look(instance: dg.DagsterInstance, app: psycopg.Connection) -> Callable[[], list[str]]:
    """One tick of the sensor; answers `collection@tenant` for each change that it reports."""
    cursor: list[str | None] = [None]

    def tick() -> list[str]:
        partitions.keep_in_step(instance, tenants.registered(app))
        resources = build_definitions().resources or {}
        context = dg.build_sensor_context(
            instance=instance,
            cursor=cursor[0],
            resources={name: resources[name] for name in ("warehouse", "arango")},
        )
        result = sensors.arango_changes(context)
        assert isinstance(result, dg.SensorResult)
        cursor[0] = result.cursor
        return sorted(f"{event.asset_key.path[-1]}@{event.partition}" for event in result.asset_events)

    return tick


def test_the_sensor_reports_each_change_once_and_per_tenant(new_leo, look: Callable[[], list[str]]):
    one, other = new_leo("one"), new_leo("other")
    everything = [
        f"{name}@{tenant}" for name in ("cdp_profile", "cdp_profile2conversion") for tenant in ("one", "other")
    ]
    assert look() == sorted(everything)
    assert look() == []
    one.profile("c1")
    assert look() == ["cdp_profile@one"]
    other.purchase("e1", "c1")
    assert look() == ["cdp_profile2conversion@other"]
    one.database.collection("cdp_profile").delete("c1")
    assert look() == ["cdp_profile@one"]
    assert look() == []


def test_a_source_that_cannot_be_read_is_neither_unchanged_nor_empty(new_leo, look: Callable[[], list[str]]):
    one, other = new_leo("one"), new_leo("other")
    look()
    one.profile("c1")
    other.profile("c1")
    rule = {"match": {"path_regex": f"/_db/{one.tenant.arango_database}/"}, "action": "status", "times": None}
    one.sandbox.spoil(rule)
    assert look() == ["cdp_profile@other"]
    assert one.sandbox.fired()[0] >= 1
    one.sandbox.clear()
    assert look() == ["cdp_profile@one"]


def test_a_tick_in_which_no_source_answers_fails_and_keeps_its_cursor(leo: Leo, look: Callable[[], list[str]]):
    look()
    leo.profile("c1")
    leo.sandbox.spoil({"match": {"path_regex": "/_api/cursor"}, "action": "status", "times": None})
    with pytest.raises(dg.Failure, match="No tenant's source could be read"):
        look()
    leo.sandbox.clear()
    assert look() == ["cdp_profile@acme"]


def test_a_tick_out_of_time_goes_on_where_it_stopped(new_leo, look: Callable[[], list[str]], monkeypatch):
    for name in ("a", "b", "c"):
        new_leo(name)
    clock = iter(range(0, 1000, 15))
    monkeypatch.setattr(sensors.time, "monotonic", lambda: next(clock))
    seen = [{event.partition("@")[2] for event in look()} for _ in range(3)]
    assert seen == [{"a"}, {"b"}, {"c"}]


def test_changes_are_told_from_what_was_seen():
    states = {"p": SourceState(2, "x"), "t": SourceState(0, None)}
    assert sensors.changes({}, states) == ["p", "t"]
    assert sensors.changes({"p": [2, "x"], "t": [0, None]}, states) == []
    assert sensors.changes({"p": [2, "w"], "t": [0, None]}, states) == ["p"]


def test_everybody_has_a_turn():
    assert sensors.in_turn(["a", "b", "c"], None) == ["a", "b", "c"]
    assert sensors.in_turn(["a", "b", "c"], "b") == ["c", "a", "b"]
    assert sensors.in_turn(["a", "b", "c"], "gone") == ["a", "b", "c"]


def test_partitions_follow_the_registry(app: psycopg.Connection, instance: dg.DagsterInstance):
    def tick() -> Sequence[Any]:
        warehouse = (build_definitions().resources or {})["warehouse"]
        context = dg.build_sensor_context(instance=instance, resources={"warehouse": warehouse})
        result = sensors.tenant_registry(context)
        assert isinstance(result, dg.SensorResult)
        for request in result.dynamic_partitions_requests or []:
            if isinstance(request, dg.AddDynamicPartitionsRequest):
                instance.add_dynamic_partitions("tenant", request.partition_keys)
            else:
                for key in request.partition_keys:
                    instance.delete_dynamic_partition("tenant", key)
        return partitions.known(instance)

    for name in ("one", "other"):
        tenants.add(app, name, name=name, arango_database=name, settings={})
    assert set(tick()) == {"one", "other"}
    tenants.retire(app, "one")
    assert tick() == ["other"]


@pytest.mark.parametrize("tags", [{"dagster/partition": "one"}, partitions.range_tags(["one", "other"])])
def test_a_partition_is_not_taken_from_under_a_run(app: psycopg.Connection, instance: dg.DagsterInstance, tags):
    for name in ("one", "other"):
        tenants.add(app, name, name=name, arango_database=name, settings={})
    partitions.keep_in_step(instance, tenants.registered(app))
    tenants.retire(app, "one")
    job = build_definitions().resolve_job_def("customers_sync")
    working = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    partitions.keep_in_step(instance, tenants.registered(app))
    assert set(partitions.known(instance)) == {"one", "other"}
    instance.report_run_canceled(working)
    partitions.keep_in_step(instance, tenants.registered(app))
    assert partitions.known(instance) == ["other"]


def test_the_schedule_asks_one_run_for_everybody(app: psycopg.Connection, tmp_path):
    # A schedule opens its instance by reference, which one in memory does not have.
    instance = dg.DagsterInstance.local_temp(str(tmp_path))
    due = datetime.fromisoformat("2026-01-01T00:15:00+00:00")
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=due)
    assert isinstance(sensors.customers_every_15_minutes(context), dg.SkipReason)
    for name in ("one", "other", "third"):
        tenants.add(app, name, name=name, arango_database=name, settings={})
    partitions.keep_in_step(instance, tenants.registered(app))
    request = sensors.customers_every_15_minutes(context)
    assert isinstance(request, dg.RunRequest)
    known = partitions.known(instance)
    assert request.tags == partitions.range_tags([known[0], known[-1]])


def test_a_reported_change_walks_down_to_the_metrics_and_stops(new_leo, app: psycopg.Connection, instance):
    for name in ("one", "other"):
        new_leo(name)
    partitions.keep_in_step(instance, tenants.registered(app))
    definitions = build_definitions()

    def tick(cursor: Any = None, later: int = 0) -> dg.EvaluateAutomationConditionsResult:
        now = datetime.fromisoformat("2026-01-01T00:00:00+00:00") + timedelta(minutes=later)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            return dg.evaluate_automation_conditions(definitions, instance, cursor=cursor, evaluation_time=now)

    first = tick()
    assert first.total_requested == 0
    for name in ("cdp_profile", "cdp_profile2conversion"):
        instance.report_runless_asset_event(dg.AssetMaterialization(["arangodb", name], partition="one"))
    second = tick(first.cursor, 1)
    requested = {
        name: second.get_requested_partitions(dg.AssetKey(["customers", name]))
        for name in ("cdp_profiles", "transactions", "customer_metrics")
    }
    # All three at once: one run, in which the checks stand between them.
    assert all(keys == {"one"} for keys in requested.values())
    outcome = run_job(definitions, "customers_sync", instance, ["one"])
    assert outcome.success
    third = tick(second.cursor, 2)
    assert third.total_requested == 0
    assert tick(third.cursor, 3).total_requested == 0
