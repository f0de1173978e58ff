"""The runs that the sensor of due events asks for, tick by tick on a real instance."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import dagster as dg
import pytest

from cdp_platform import settings
from cdp_platform.build import build_definitions
from cdp_platform.campaigns import events, gates
from cdp_platform.campaigns.channels.config import configured
from cdp_platform.campaigns.defs import partitions as event_partitions
from cdp_platform.campaigns.defs import sensors
from cdp_platform.ops import tenants
from cdp_platform.orchestration import partitions, watch
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.campaigns.events_that_run import Shop

pytest_plugins = ["cdp_platform_tests.campaigns.events_that_run"]
pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

Look = Callable[[], dg.SensorResult | dg.SkipReason]


@pytest.fixture
def look(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Look:
    """One tick, which waits for a moment only."""
    monkeypatch.setattr(watch, "TICK_BUDGET_SECONDS", 0.2)
    monkeypatch.setattr(watch, "LISTEN_SECONDS", 0.2)

    def tick() -> dg.SensorResult | dg.SkipReason:
        made = build_definitions().resources or {}
        resources = {name: made[name] for name in ("warehouse", "channels")}
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            result = sensors.due_events(context)
        assert isinstance(result, dg.SensorResult | dg.SkipReason)
        return result

    return tick


def asked(result: dg.SensorResult | dg.SkipReason) -> list[str | dict[str, str]]:
    """The partition, or the range, of each run that is asked for; none of them has a key that would end it for ever."""
    if isinstance(result, dg.SkipReason):
        return []
    runs = result.run_requests or []
    assert all(run.run_key is None for run in runs)
    return [run.partition_key or dict(run.tags) for run in runs]


def reason(result: dg.SensorResult | dg.SkipReason) -> str:
    assert isinstance(result, dg.SkipReason), result
    return result.skip_message or ""


def test_what_is_due_of_any_tenant_is_asked_for_and_nothing_else(
    shop: Shop, new_shop: Callable[[str], Shop], look: Look, instance: dg.DagsterInstance
):
    other, retired = new_shop("bolt"), new_shop("closed")
    assert reason(look()) == "No event is due; 0 are open."
    shop.plan()
    shop.plan(event="later", starts_in=timedelta(hours=1))
    other.plan()
    retired.plan()
    tenants.retire(retired.connection, "closed")
    assert asked(look()) == ["acme|spring-1", "bolt|spring-1"]
    # People find every open event in the UI.
    assert set(event_partitions.known(instance)) == {"acme|spring-1", "acme|later", "bolt|spring-1"}
    with tenant_transaction(other.connection, "bolt"):
        assert events.cancel(other.connection, "bolt", "spring-1")
    assert asked(look()) == ["acme|spring-1"]


def test_an_event_in_a_run_is_not_asked_for_again(shop: Shop, look: Look, instance: dg.DagsterInstance):
    shop.plan()
    assert asked(look()) == ["acme|spring-1"]
    job = build_definitions().resolve_job_def(sensors.DUE)
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": "acme|spring-1"})
    assert "1 in a run" in reason(look())


def test_many_events_share_three_runs_and_wait_while_these_go_on(shop: Shop, look: Look, instance: dg.DagsterInstance):
    for number in range(5):
        shop.plan(event=f"event-{number}")
    known = [f"acme|event-{number}" for number in range(5)]
    assert asked(look()) == [partitions.range_tags(known)]
    job = build_definitions().resolve_job_def(sensors.DUE)
    shop.plan(event="another")
    for _ in range(3):
        instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags={"dagster/sensor_name": "due_events"})
    assert "wait until an earlier run ends" in reason(look())


def test_a_running_event_is_asked_for_while_its_channel_lets_somebody_through(shop: Shop, look: Look):
    shop.people(1)
    event = shop.plan()
    with tenant_transaction(shop.connection, "acme"):
        events.move(shop.connection, "acme", event, "running", before=["planned"])
    shop.reserve(["p0000"], event)
    assert asked(look()) == ["acme|spring-1"]
    gate = gates.of_channel(shop.connection, configured().required("email"))
    for _ in range(gate.breaker.failures):
        gate.failed("the relay is away", rest_seconds=60)
    assert "channel email is closed: the relay is away" in reason(look())
    # Its audience is of the moment at which it begins.
    shop.plan(event="another")
    assert asked(look()) == ["acme|another"]
    with tenant_transaction(shop.connection, "acme"):
        events.move(shop.connection, "acme", event, "paused", before=["running"])
    assert asked(look()) == ["acme|another"]


def test_the_fault_of_one_event_lets_that_one_rest_and_no_other(shop: Shop, look: Look):
    shop.people(1)
    good, bad = shop.plan(event="good", starts_in=timedelta(minutes=-1)), shop.plan(event="bad")
    shop.rows("UPDATE campaigns.marketing_event SET template = 'gone' WHERE event_id = 'bad'")
    assert not shop.run(good, bad).success
    assert shop.status(good) == "done"
    assert "1 rest after a failure" in reason(look())
    shop.plan(event="third")
    assert asked(look()) == ["acme|third"]


def test_an_event_that_is_planned_while_the_sensor_waits_ends_the_tick(
    shop: Shop, look: Look, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(watch, "LISTEN_SECONDS", 30)
    later = shop.plan(starts_in=timedelta(hours=1))

    def change() -> None:
        time.sleep(1)
        with connect(settings.postgres()) as connection, tenant_transaction(connection, "acme"):
            connection.execute("UPDATE campaigns.marketing_event SET start_at = now() WHERE event_id = %s", [later])

    writer = threading.Thread(target=change)
    writer.start()
    began = time.monotonic()
    assert asked(look()) == ["acme|spring-1"]
    assert time.monotonic() - began < 15
    writer.join()


def test_an_event_that_becomes_due_while_the_sensor_waits_is_asked_for_at_once(
    shop: Shop, look: Look, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(watch, "LISTEN_SECONDS", 30)
    shop.plan(starts_in=timedelta(seconds=3))
    began = time.monotonic()
    assert asked(look()) == ["acme|spring-1"]
    assert time.monotonic() - began < 10


def test_an_event_at_local_time_begins_when_its_clock_time_comes_to_the_easternmost_zone(shop: Shop, look: Look):
    shop.plan(starts_in=timedelta(hours=13))
    shop.rows("UPDATE campaigns.marketing_event SET local_time = true")
    assert asked(look()) == ["acme|spring-1"]
    shop.rows("UPDATE campaigns.marketing_event SET start_at = start_at + interval '2 hours'")
    assert asked(look()) == []


def test_settling_removes_the_partitions_of_events_that_ended_long_ago(
    shop: Shop, look: Look, instance: dg.DagsterInstance
):
    for event in ("old", "fresh", "open"):
        shop.plan(event=event)
    look()
    assert len(event_partitions.known(instance)) == 3
    with tenant_transaction(shop.connection, "acme"):
        for event in ("old", "fresh"):
            events.cancel(shop.connection, "acme", event)
        shop.connection.execute(
            "UPDATE campaigns.marketing_event SET ended_at = now() - interval '31 days' WHERE event_id = 'old'"
        )
    done = build_definitions().resolve_job_def("campaigns_settle").execute_in_process(instance=instance)
    assert done.success
    assert set(event_partitions.known(instance)) == {"acme|fresh", "acme|open"}
