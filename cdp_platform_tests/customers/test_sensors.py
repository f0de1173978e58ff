"""What the sensors, the schedule and the automation condition ask for, tick by tick on a real instance."""

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp_platform.build import build_definitions
from cdp_platform.customers.defs import sensors
from cdp_platform.customers.source import SourceState
from cdp_platform.ops import tenants
from cdp_platform.orchestration import partitions
from cdp_platform.orchestration.in_process import run_job
from cdp_platform.orchestration.registry import tenant_registry
from cdp_platform.orchestration.watch import Watch
from cdp_platform_tests import crashes
from cdp_platform_tests.leo import Leo, with_customers

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")


@pytest.fixture
def tick(
    instance: dg.DagsterInstance, app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], dg.SensorResult]:
    """One tick of the sensor; one that is lost ends before Dagster takes its result."""
    # A stand-in that shares a busy machine may be slow, and these tests are not about that.
    monkeypatch.setattr(sensors, "_LOOK_SECONDS", 60.0)
    cursor: list[str | None] = [None]

    def go(*, lost: bool = False) -> dg.SensorResult:
        partitions.keep_in_step(instance, tenants.registered(app))
        resources = build_definitions().resources or {}
        used = {name: resources[name] for name in ("warehouse", "arango")}
        with dg.build_sensor_context(instance=instance, cursor=cursor[0], resources=used) as context:
            result = sensors.arango_changes(context)
        assert isinstance(result, dg.SensorResult)
        cursor[0] = cursor[0] if lost else result.cursor
        return result

    return go


@pytest.fixture
def look(tick: Callable[[], dg.SensorResult]) -> Callable[[], list[str]]:
    """One tick of the sensor; answers `collection@tenant` for each change that it reports."""
    return lambda: reported(tick())


def reported(result: dg.SensorResult) -> list[str]:
    return sorted(f"{event.asset_key.path[-1]}@{event.partition}" for event in result.asset_events)


def asked(result: dg.SensorResult) -> list[dict[str, str]]:
    return [dict(request.tags) for request in result.run_requests or []]


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
    turns = Watch.in_turn
    monkeypatch.setattr(Watch, "in_turn", lambda watch, keys: itertools.islice(turns(watch, keys), 1))
    seen = [{event.partition("@")[2] for event in look()} for _ in range(3)]
    assert seen == [{"a"}, {"b"}, {"c"}]


def test_a_change_that_a_lost_tick_reported_is_reported_again(new_leo, tick: Callable[..., dg.SensorResult]):
    one = new_leo("one")
    new_leo("other")
    tick()
    one.profile("c1")
    lost = tick(lost=True)
    again = tick()
    for result in (lost, again):
        assert "cdp_profile@one" in reported(result)
        assert "other" not in str(reported(result))
        assert asked(result) == [partitions.range_tags(["one"])]
    nothing = tick()
    assert (reported(nothing), asked(nothing)) == ([], [])


def test_a_tick_that_is_killed_anywhere_loses_no_change(new_leo, instance: dg.DagsterInstance, app: psycopg.Connection):
    one = new_leo("one")
    partitions.keep_in_step(instance, tenants.registered(app))
    keys = itertools.count()

    def sensor(cursor: str | None) -> dg.SensorResult:
        resources = {name: (build_definitions().resources or {})[name] for name in ("warehouse", "arango")}
        with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
            result = sensors.arango_changes(context)
        assert isinstance(result, dg.SensorResult)
        return result

    def fresh() -> str | None:
        """The cursor of a tick before a change."""
        cursor = sensor(None).cursor
        one.profile(f"c{next(keys)}")
        return cursor

    killed_after_it_stored = False
    for point, cursor in crashes.after_every_write(sensor, fresh):
        killed_after_it_stored |= "store_looks" in point.exchange
        result = sensor(cursor)
        assert "cdp_profile@one" in reported(result), point
        assert asked(result) == [partitions.range_tags(["one"])], point
    assert killed_after_it_stored


def test_a_tenant_that_moves_to_another_database_is_read_there(new_leo, app, look: Callable[[], list[str]]):
    new_leo("one")
    two = new_leo("two")
    assert look()
    tenants.retire(app, "two")
    assert look() == []
    tenants.add(app, "one", arango_database=two.tenant.arango_database)
    assert look() == ["cdp_profile2conversion@one", "cdp_profile@one"]
    tenants.add(app, "two")
    assert look() == ["cdp_profile2conversion@two", "cdp_profile@two"]
    assert look() == []


def test_neighbours_that_changed_share_a_run(new_leo, tick: Callable[[], dg.SensorResult]):
    leos = [new_leo(name) for name in ("a", "b", "c", "d")]
    assert asked(tick()) == [partitions.range_tags(["a", "d"])]
    assert asked(tick()) == []
    for changed in (leos[0], leos[1], leos[3]):
        changed.profile("c1")
    assert asked(tick()) == [partitions.range_tags(["a", "b"]), partitions.range_tags(["d"])]


@pytest.mark.parametrize("tags", [{"dagster/partition": "one"}, partitions.range_tags(["one"])])
@pytest.mark.parametrize("job", ["customers_sync", "customers_reconcile"])
def test_a_change_under_a_run_has_its_own_when_that_one_ends(new_leo, instance, tick, tags, job):
    one, other = new_leo("one"), new_leo("other")
    tick()
    run = instance.create_run_for_job(
        build_definitions().resolve_job_def(job), tags=tags, status=dg.DagsterRunStatus.STARTED
    )
    one.profile("c1")
    other.profile("c1")
    assert asked(tick()) == [partitions.range_tags(["other"])]
    assert asked(tick()) == []
    instance.report_run_canceled(run)
    assert asked(tick()) == [partitions.range_tags(["one"])]
    assert asked(tick()) == []


def test_what_changed_beyond_three_runs_waits_and_shares_the_next_one(new_leo, instance, tick):
    leos = [new_leo(name) for name in ("a", "b", "c")]
    tick()
    running = [
        instance.create_run_for_job(
            build_definitions().resolve_job_def("customers_sync"),
            tags={"dagster/sensor_name": "arango_changes"},
            status=dg.DagsterRunStatus.STARTED,
        )
        for _ in range(3)
    ]
    leos[0].profile("c1")
    assert asked(tick()) == []
    leos[1].profile("c1")
    leos[2].profile("c1")
    assert asked(tick()) == []
    instance.report_run_canceled(running[0])
    assert asked(tick()) == [partitions.range_tags(["a", "b", "c"])]
    assert asked(tick()) == []


@given(wanted=st.sets(st.integers(0, 199)), at_most=st.integers(0, 10))
def test_however_many_tenants_change_wherever_they_stand_few_runs_cover_them_all(wanted, at_most):
    order = [f"t{number}" for number in range(200)]
    made = partitions.ranges(order, {order[number] for number in wanted}, at_most=at_most)
    assert len(made) <= at_most
    if at_most == 0:
        return
    covered = [key for stretch in made for key in stretch]
    assert {order[number] for number in wanted} <= set(covered)
    # In order, none twice, and nobody at an edge who is not wanted.
    assert covered == [key for key in order if key in set(covered)]
    assert all({int(stretch[0][1:]), int(stretch[-1][1:])} <= wanted for stretch in made)
    stretches = partitions.ranges(order, {order[number] for number in wanted})
    assert {key for stretch in stretches for key in stretch} == {order[number] for number in wanted}
    assert len(made) == min(at_most, len(stretches))


def test_changes_are_told_from_what_was_seen():
    states = {"p": SourceState(2, "x"), "t": SourceState(0, None)}
    assert sensors.changes({}, states) == ["p", "t"]
    assert sensors.changes({"p": [2, "x"], "t": [0, None]}, states) == []
    assert sensors.changes({"p": [2, "w"], "t": [0, None]}, states) == ["p"]


def test_partitions_follow_the_registry(app: psycopg.Connection, instance: dg.DagsterInstance):
    def tick() -> Sequence[Any]:
        warehouse = (build_definitions().resources or {})["warehouse"]
        with dg.build_sensor_context(instance=instance, resources={"warehouse": warehouse}) as context:
            result = tenant_registry(context)
        assert isinstance(result, dg.SensorResult)
        for request in result.dynamic_partitions_requests or []:
            if isinstance(request, dg.AddDynamicPartitionsRequest):
                instance.add_dynamic_partitions("tenant", request.partition_keys)
            else:
                for key in request.partition_keys:
                    instance.delete_dynamic_partition("tenant", key)
        return partitions.known(instance)

    for name in ("one", "other"):
        tenants.add(app, name, name=name, arango_database=name)
    assert set(tick()) == {"one", "other"}
    tenants.retire(app, "one")
    assert tick() == ["other"]
    # Typed by somebody in the UI: belongs to nobody, and would fail every run.
    instance.add_dynamic_partitions("tenant", ["ghost"])
    assert tick() == ["other"]


@pytest.mark.parametrize("tags", [{"dagster/partition": "one"}, partitions.range_tags(["one", "other"])])
def test_a_partition_is_not_taken_from_under_a_run(app: psycopg.Connection, instance: dg.DagsterInstance, tags):
    for name in ("one", "other"):
        tenants.add(app, name, name=name, arango_database=name)
    partitions.keep_in_step(instance, tenants.registered(app))
    tenants.retire(app, "one")
    job = build_definitions().resolve_job_def("customers_sync")
    working = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    partitions.keep_in_step(instance, tenants.registered(app))
    assert set(partitions.known(instance)) == {"one", "other"}
    instance.report_run_canceled(working)
    partitions.keep_in_step(instance, tenants.registered(app))
    assert partitions.known(instance) == ["other"]


@pytest.fixture
def due(app: psycopg.Connection, tmp_path) -> Iterator[Callable[..., Any]]:
    """One tick of the schedule."""
    # A schedule opens its instance by reference, which one in memory does not have.
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def tick(
            schedule: str = "customers_every_15_minutes", *, working: bool = False, extra: str | None = None
        ) -> Any:
            partitions.ensure(instance, tenants.registered(app))
            if extra:
                instance.add_dynamic_partitions("tenant", [extra])
            if working:
                job = build_definitions().resolve_job_def("customers_sync")
                instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
            with dg.build_schedule_context(
                instance=instance,
                scheduled_execution_time=datetime.fromisoformat("2026-01-01T00:15:00+00:00"),
                resources={"warehouse": (build_definitions().resources or {})["warehouse"]},
            ) as context:
                return getattr(sensors, schedule)(context)

        yield tick


def test_the_schedule_asks_one_run_for_everybody(app: psycopg.Connection, due: Callable[..., Any]):
    assert isinstance(due(), dg.SkipReason)
    for name in ("one", "other", "third"):
        tenants.add(app, name, arango_database=name)
    (request,) = due()
    assert request.tags == partitions.range_tags(["one", "other", "third"])


def test_every_night_all_tenants_are_compared_with_their_source(app: psycopg.Connection, due: Callable[..., Any]):
    for name in ("one", "other"):
        tenants.add(app, name, arango_database=name)
    (request,) = due("customers_every_night")
    assert request.tags == partitions.range_tags(["one", "other"])
    assert request.run_config == {"ops": sensors.for_all_collections(reconcile=True)}


def test_the_schedule_goes_round_partitions_of_nobody_and_of_retired_tenants(app, due: Callable[..., Any]):
    for name in ("a", "b", "c"):
        tenants.add(app, name, arango_database=name)
    due(extra="ghost")
    tenants.add(app, "z", arango_database="z")
    due()
    tenants.retire(app, "b")
    assert [request.tags for request in due()] == [partitions.range_tags([key]) for key in ("a", "c", "z")]


def test_the_schedule_does_not_pile_runs_up(app: psycopg.Connection, due: Callable[..., Any]):
    tenants.add(app, "one", arango_database="one")
    assert isinstance(due(working=True), dg.SkipReason)


@pytest.fixture
def automation(instance: dg.DagsterInstance) -> Callable[[], dict[str, set[str]]]:
    """One tick of the automation: asset -> tenants that it asks for."""
    state: dict[str, Any] = {"cursor": None, "now": datetime.fromisoformat("2026-01-01T00:00:00+00:00")}

    def tick() -> dict[str, set[str]]:
        state["now"] += timedelta(minutes=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            result = dg.evaluate_automation_conditions(
                build_definitions(), instance, cursor=state["cursor"], evaluation_time=state["now"]
            )
        state["cursor"] = result.cursor
        names = ("cdp_profiles", "transactions", "customer_metrics", "customer_value")
        keys = {name: dg.AssetKey(["customers", name]) for name in names}
        keys["segments"] = dg.AssetKey(["campaigns", "segments"])
        asked = {name: set(map(str, result.get_requested_partitions(key))) for name, key in keys.items()}
        return {name: tenant_ids for name, tenant_ids in asked.items() if tenant_ids}

    return tick


def report(instance: dg.DagsterInstance, *tenant_ids: str) -> None:
    for tenant_id in tenant_ids:
        for name in ("cdp_profile", "cdp_profile2conversion"):
            instance.report_runless_asset_event(dg.AssetMaterialization(["arangodb", name], partition=tenant_id))


def test_what_a_sync_changed_is_in_its_own_metrics_and_segments_and_asks_for_nothing_more(
    new_leo, app, instance, automation
):
    for name in ("one", "other"):
        new_leo(name)
    partitions.keep_in_step(instance, tenants.registered(app))
    assert automation() == {}
    report(instance, "one")
    assert automation() == {}
    assert run_job(build_definitions(), "customers_sync", instance, ["one"]).success
    assert automation() == {}
    assert automation() == {}


@pytest.mark.parametrize("before", [["one"], ["one", "other"]], ids=["one tenant", "a range"])
def test_profiles_that_somebody_materialized_alone_are_followed_by_metrics(new_leo, app, instance, automation, before):
    for name in ("one", "other"):
        with_customers(new_leo(name))
    partitions.keep_in_step(instance, tenants.registered(app))
    report(instance, "one", "other")
    run_job(build_definitions(), "customers_sync", instance, before)
    automation()
    job = build_definitions().resolve_job_def("customers_sync")
    job.execute_in_process(
        instance=instance, partition_key="one", asset_selection=[dg.AssetKey(["customers", "cdp_profiles"])]
    )
    assert automation() == {"customer_metrics": {"one"}, "customer_value": {"one"}}


def test_a_broken_tenant_keeps_nobody_else_from_their_metrics(new_leo, app, instance, automation):
    leos = {name: with_customers(new_leo(name)) for name in ("alpha", "broken", "gamma")}
    leos["broken"].database.delete_collection("cdp_profile")
    partitions.keep_in_step(instance, tenants.registered(app))
    report(instance, "alpha", "broken", "gamma")
    automation()
    outcome = run_job(build_definitions(), "customers_sync", instance, ["alpha", "broken", "gamma"])
    assert not outcome.success
    assert automation()["customer_metrics"] == {"alpha", "gamma"}
