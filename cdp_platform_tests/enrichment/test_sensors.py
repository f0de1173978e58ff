"""The runs that the sensor of paid searches asks for, tick by tick on a real instance."""

import threading
import time
from collections.abc import Callable

import dagster as dg
import psycopg
import pytest

from cdp_platform.build import build_definitions
from cdp_platform.enrichment.defs import sensors
from cdp_platform.ops import tenants
from cdp_platform.orchestration import partitions, watch
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.enrichment.room import Room

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

Look = Callable[[], dg.SensorResult | dg.SkipReason]
PAY = "SELECT enrichment.move_search(%s, %s, 'preview', 'paid')"


@pytest.fixture
def look(app: psycopg.Connection, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Look:
    """One tick, which waits for a moment only."""
    monkeypatch.setattr(watch, "TICK_BUDGET_SECONDS", 0.2)
    monkeypatch.setattr(watch, "LISTEN_SECONDS", 0.2)

    def tick() -> dg.SensorResult | dg.SkipReason:
        partitions.keep_in_step(instance, tenants.registered(app))
        warehouse = (build_definitions().resources or {})["warehouse"]
        with dg.build_sensor_context(instance=instance, resources={"warehouse": warehouse}) as context:
            result = sensors.paid_searches(context)
        assert isinstance(result, dg.SensorResult | dg.SkipReason)
        return result

    return tick


def asked(result: dg.SensorResult | dg.SkipReason) -> list[dict[str, str]]:
    """The range of each run that is asked for; none has a key that would end it for ever."""
    if isinstance(result, dg.SkipReason):
        return []
    runs = result.run_requests or []
    assert all(run.run_key is None for run in runs)
    return [dict(run.tags) for run in runs]


def reason(result: dg.SensorResult | dg.SkipReason) -> str:
    assert isinstance(result, dg.SkipReason), result
    return result.skip_message or ""


def test_neighbours_that_have_something_paid_share_a_run_and_others_have_none(new_room, look: Look):
    a, b, _, d, retired = (new_room(tenant_id) for tenant_id in ("a", "b", "c", "d", "e"))
    a.search(1, status="preview")
    assert reason(look()) == "No search is due; 0 are open."
    for each in (a, b, d, retired):
        each.search(1)
    tenants.retire(retired.connection, "e")
    assert asked(look()) == [partitions.range_tags(["a", "b"]), partitions.range_tags(["d"])]


def test_a_payment_that_comes_while_it_waits_ends_the_tick(room: Room, look: Look, monkeypatch):
    search = room.search(1, status="preview")
    look()
    monkeypatch.setattr(watch, "LISTEN_SECONDS", 30)
    looked = threading.Event()
    first = sensors._open

    def open_searches(connection: psycopg.Connection) -> list[sensors.Due]:
        try:
            return first(connection)
        finally:
            looked.set()

    monkeypatch.setattr(sensors, "_open", open_searches)

    def pay() -> None:
        looked.wait(30)
        time.sleep(0.5)
        with connect(room.postgres) as connection, tenant_transaction(connection, "acme"):
            connection.execute(PAY, ["acme", search])

    payer = threading.Thread(target=pay)
    began = time.monotonic()
    payer.start()
    assert asked(look()) == [partitions.range_tags(["acme"])]
    assert 0.5 <= time.monotonic() - began < 10
    payer.join()


def test_a_tenant_in_a_run_is_not_asked_for_again(room: Room, look: Look, instance: dg.DagsterInstance):
    room.search(1)
    assert asked(look())
    job = build_definitions().resolve_job_def(sensors.ENRICH)
    run = instance.create_run_for_job(job, tags=partitions.range_tags(["acme"]), status=dg.DagsterRunStatus.STARTED)
    assert reason(look()) == "The searches of 1 tenants are in a run."
    instance.report_run_canceled(run)
    assert asked(look())


def test_after_a_failed_run_the_next_one_waits(room: Room, look: Look, instance: dg.DagsterInstance, monkeypatch):
    room.search(1)
    assert asked(look())
    job = build_definitions().resolve_job_def(sensors.ENRICH)
    run = instance.create_run_for_job(job, tags=partitions.range_tags(["acme"]), status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(run)
    assert reason(look()) == "The last run failed; the next one waits a minute."
    monkeypatch.setattr(sensors.run_limits, "REST_AFTER_FAILURE_SECONDS", 0)
    assert asked(look())


def test_nothing_runs_again_once_a_search_is_ready(room: Room, look: Look):
    room.search(3)
    room.run()
    assert reason(look()) == "No search is due; 0 are open."


def test_a_search_at_its_limit_is_looked_at_again_in_minutes_and_not_at_once(room: Room, look: Look):
    search = room.search(3, credit_limit=1)
    room.run()
    assert reason(look()) == "No search is due; 1 are open."
    room.rows("UPDATE enrichment.search SET credit_limit = 10, not_before = now() WHERE search_id = %s", [search])
    assert asked(look())
    room.run()
    assert room.of(search, "status") == "ready"


def test_of_contacts_that_are_held_nothing_runs_until_that_ends(room: Room, look: Look):
    search = room.search(3)
    room.apollo.spoil("drop_after")
    room.run()
    assert room.apollo.fired() == [1]
    assert room.outcomes() == {"held": 3}
    room.rows("UPDATE enrichment.search SET not_before = now()")
    assert reason(look()) == "No search is due; 0 are open."
    room.rows("UPDATE enrichment.contact SET outcome = 'waiting'")
    assert asked(look())
    assert room.of(search, "status") == "enriching"


def test_phones_that_are_awaited_cause_no_run_and_their_delivery_does(room: Room, look: Look):
    search = room.search(["mobile-1@shop.example"], phones=True)
    room.rows("SELECT enrichment.move_search('acme', %s, 'paid', 'enriching')", [search])
    room.rows("UPDATE enrichment.contact SET outcome = 'enriched'")
    room.rows("UPDATE enrichment.search SET not_before = now() - interval '1 minute'")
    assert reason(look()) == "No search is due; 0 are open."
    room.rows("UPDATE enrichment.search SET not_before = NULL")
    assert asked(look())
