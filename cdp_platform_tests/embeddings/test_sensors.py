"""The runs that the sensor of the queue asks for, tick by tick on a real instance."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import dagster as dg
import psycopg
import pytest

from cdp_platform.build import build_definitions
from cdp_platform.embeddings import models
from cdp_platform.embeddings.calls import gate_of
from cdp_platform.embeddings.defs import sensors
from cdp_platform.ops import tenants
from cdp_platform.orchestration import partitions
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.embeddings.texts import Desk

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

Look = Callable[[], dg.SensorResult | dg.SkipReason]


@pytest.fixture
def look(app: psycopg.Connection, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Look:
    """One tick, which listens for a moment only."""
    monkeypatch.setattr(sensors, "LISTEN_SECONDS", 0.2)

    def tick() -> dg.SensorResult | dg.SkipReason:
        partitions.keep_in_step(instance, tenants.registered(app))
        warehouse = (build_definitions().resources or {})["warehouse"]
        with dg.build_sensor_context(instance=instance, resources={"warehouse": warehouse}) as context:
            result = sensors.embedding_queue(context)
        assert isinstance(result, dg.SensorResult | dg.SkipReason)
        return result

    return tick


def asked(result: dg.SensorResult | dg.SkipReason) -> list[tuple[dict[str, str], set[str]]]:
    assert isinstance(result, dg.SensorResult), result
    return [(dict(run.tags), {key.path[-1] for key in run.asset_selection or []}) for run in result.run_requests or []]


def test_what_waits_is_asked_for_once_for_neighbours_and_only_its_kinds(desk: Desk, look: Look):
    one, _, third = desk.tenant("a"), desk.tenant("b"), desk.tenant("c")
    assert isinstance(look(), dg.SkipReason)
    one.write({"p": "shoes"})
    third.write({"p": "shoes"})
    assert asked(look()) == [
        (partitions.range_tags(["a"]), {"profile_embeddings"}),
        (partitions.range_tags(["c"]), {"profile_embeddings"}),
    ]


def test_a_change_that_comes_while_it_listens_ends_the_tick(desk: Desk, look: Look, monkeypatch):
    acme = desk.tenant("acme")
    monkeypatch.setattr(sensors, "LISTEN_SECONDS", 30)
    listening = threading.Event()
    first = models.live

    def live(connection: psycopg.Connection) -> list[models.Model]:
        # Each look begins with this; a second call means that the first look found nothing.
        listening.set()
        return first(connection)

    monkeypatch.setattr(sensors.models, "live", live)

    def change() -> None:
        listening.wait(30)
        time.sleep(0.5)
        with connect(desk.warehouse.settings) as connection, tenant_transaction(connection, "acme"):
            connection.execute(
                "SELECT embeddings.enqueue('acme', 'profile', '{p}'), pg_notify('embedding_job', 'profile')"
            )

    acme.write({"p": "shoes"})
    acme.change("DELETE FROM embeddings.text_batch")
    writer = threading.Thread(target=change)
    began = time.monotonic()
    writer.start()
    assert asked(look()) == [(partitions.range_tags(["acme"]), {"profile_embeddings"})]
    assert 0.5 <= time.monotonic() - began < 10
    writer.join()


@pytest.mark.parametrize("job", ["embeddings_update", "embeddings_reconcile"])
def test_a_tenant_that_a_run_is_at_work_on_is_left_to_it(desk: Desk, look: Look, instance: dg.DagsterInstance, job):
    acme = desk.tenant("acme")
    acme.write({"p": "shoes"})
    look()
    run = instance.create_run_for_job(
        build_definitions().resolve_job_def(job),
        tags=partitions.range_tags(["acme"]),
        status=dg.DagsterRunStatus.STARTED,
    )
    assert isinstance(look(), dg.SkipReason)
    instance.report_run_canceled(run)
    assert asked(look())


def test_tenants_of_a_sync_under_way_share_runs_a_minute_apart(desk: Desk, look: Look, instance, monkeypatch):
    a, b, _ = [desk.tenant(tenant_id) for tenant_id in "abc"]
    look()
    sync = instance.create_run_for_job(
        build_definitions().resolve_job_def("customers_sync"),
        tags=partitions.range_tags(["a", "b", "c"]),
        status=dg.DagsterRunStatus.STARTED,
    )
    a.write({"p": "shoes"})
    assert asked(look()) == [(partitions.range_tags(["a"]), {"profile_embeddings"})]
    before = instance.create_run_for_job(
        build_definitions().resolve_job_def("embeddings_update"), tags=partitions.range_tags(["a"])
    )
    instance.report_run_canceled(before)
    b.write({"p": "hats"})
    answer = look()
    assert isinstance(answer, dg.SkipReason)
    assert "2 tenants; the next run is for all" in (answer.skip_message or "")
    both = [(partitions.range_tags(["a", "b"]), {"profile_embeddings"})]
    with monkeypatch.context() as patch:
        patch.setattr(sensors, "_BEHIND_A_SYNC_SECONDS", 0)
        assert asked(look()) == both
    instance.report_run_canceled(sync)
    assert asked(look()) == both


def test_a_sync_that_goes_on_has_runs_at_twice_the_age_of_the_one_before(instance, monkeypatch):
    definitions = build_definitions()
    syncs = {"customers_sync"}
    assert not sensors._is_early(instance, syncs)
    instance.create_run_for_job(definitions.resolve_job_def("customers_sync"), status=dg.DagsterRunStatus.STARTED)
    began = datetime.now(UTC)
    minutes = []
    for minute in range(60):
        now = began + timedelta(minutes=minute, seconds=1)
        monkeypatch.setattr(sensors, "datetime", SimpleNamespace(now=lambda _zone, now=now: now))
        if not sensors._is_early(instance, syncs):
            minutes.append(minute)
            instance.create_run_for_job(definitions.resolve_job_def("embeddings_update"))
    assert minutes == [1, 2, 4, 8, 16, 32]


def test_what_waits_beyond_three_runs_shares_the_next_one(desk: Desk, look: Look, instance: dg.DagsterInstance):
    a, _, c = [desk.tenant(tenant_id) for tenant_id in "abc"]
    look()
    running = [
        instance.create_run_for_job(
            build_definitions().resolve_job_def("embeddings_update"),
            tags={"dagster/sensor_name": "embedding_queue"},
            status=dg.DagsterRunStatus.STARTED,
        )
        for _ in range(3)
    ]
    a.write({"p": "shoes"})
    c.write({"p": "shoes"})
    assert isinstance(look(), dg.SkipReason)
    instance.report_run_canceled(running[0])
    assert asked(look()) == [(partitions.range_tags(["a", "b", "c"]), {"profile_embeddings"})]


def test_after_a_failed_run_it_rests_for_a_minute(desk: Desk, look: Look, instance, monkeypatch):
    acme = desk.tenant("acme")
    acme.write({"p": "shoes"})
    look()
    run = instance.create_run_for_job(
        build_definitions().resolve_job_def("embeddings_update"), status=dg.DagsterRunStatus.STARTED
    )
    instance.report_run_failed(run)
    answer = look()
    assert isinstance(answer, dg.SkipReason)
    assert "failed" in (answer.skip_message or "")
    later = time.time() + 61
    monkeypatch.setattr(sensors.time, "time", lambda: later)
    assert asked(look())


def test_nothing_is_asked_for_while_the_provider_wants_patience(desk: Desk, look: Look):
    acme = desk.tenant("acme")
    acme.write({"p": "shoes"})
    gate = gate_of(desk.app, desk.model)
    assert gate is not None
    gate.rest(3_600, "too many requests")
    answer = look()
    assert isinstance(answer, dg.SkipReason)
    assert "too many requests" in (answer.skip_message or "")
    desk.wait()
    assert asked(look())


def test_what_may_be_tried_again_only_later_is_not_asked_for_now(desk: Desk, look: Look):
    acme = desk.tenant("acme")
    acme.write({"p": "shoes"})
    acme.fail("p", "failed", attempts=1, hours=1)
    assert isinstance(look(), dg.SkipReason)
    acme.let_time_pass()
    assert asked(look())


def test_the_work_of_a_worker_that_vanished_is_asked_for_when_its_lease_ends(desk: Desk, look: Look):
    acme = desk.tenant("acme")
    acme.write({"p": "shoes"})
    acme.vanish(seconds=60)
    assert isinstance(look(), dg.SkipReason)
    acme.expire_leases()
    assert asked(look())
