"""Faults of providers, other workers and servers: no text is lost, sent for nothing, or left behind."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial

import psycopg
import pytest

from cdp_platform.embeddings import jobs, worker
from cdp_platform.embeddings.models import Model
from cdp_platform.embeddings.providers import Provider, open_provider
from cdp_platform.errors import ConfigurationError, SourceError
from cdp_platform.ops.leases import Leases
from cdp_platform.orchestration.failures import is_transient
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform.warehouse.migrate import migrate
from cdp_platform_tests.conftest import PASSWORD, Server, Warehouse, postgres_settings, running_server
from cdp_platform_tests.embeddings.texts import Desk, Recorder, Tenant, once, within
from cdp_platform_tests.openai_stub import OpenAIStub


def _many(count: int, prefix: str = "p") -> dict[str, str]:
    return {f"{prefix}{number:05}": f"{prefix} town {number}" for number in range(count)}


def _remote(stub: OpenAIStub, model: Model) -> Provider:
    return open_provider("openai", model.name, stub.settings(), dimensions=model.dimensions)


def _raises(error: Exception) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it


# Providers.


def test_a_provider_that_asks_for_patience_gets_it_and_no_attempt_is_counted(
    desk: Desk, acme: Tenant, openai_stub: OpenAIStub
):
    acme.write(_many(100))
    openai_stub.spoil("status", status=429, retry_after=1, times=2)
    began = time.monotonic()
    outcome = desk.drain(_remote(openai_stub, desk.model), acme)
    assert openai_stub.fired() == [2]
    assert time.monotonic() - began >= 2
    assert (outcome.embedded, outcome.failed, outcome.note, outcome.error) == (100, 0, None, None)
    assert acme.states() == {}
    acme.require_right(desk.model)
    ((seconds, openings),) = desk.rests()
    assert (seconds <= 0, openings) == (True, 0)


def test_a_long_pause_ends_the_run_and_is_no_fault_and_nobody_is_called_before(
    desk: Desk, acme: Tenant, openai_stub: OpenAIStub
):
    acme.write(_many(100))
    openai_stub.spoil("status", status=429, retry_after=600)
    provider = _remote(openai_stub, desk.model)
    outcome = desk.drain(provider, acme)
    assert openai_stub.fired() == [1]
    assert (outcome.embedded, outcome.calls, outcome.error) == (0, 1, None)
    assert "is paused until" in (outcome.note or "")
    assert "100 texts wait" in (outcome.note or "")
    assert desk.counts(acme) == {"pending": 100}
    assert set(acme.attempts().values()) == {0}
    outcome = desk.drain(provider, acme)
    assert (outcome.calls, len(openai_stub.requests())) == (0, 1)
    assert "is paused until" in (outcome.note or "")
    desk.wait(timedelta(minutes=10))
    assert desk.drain(provider, acme).embedded == 100
    acme.require_right(desk.model)


def test_an_outage_of_an_hour_counts_no_attempt_and_the_backlog_drains_in_order(
    desk: Desk, acme: Tenant, openai_stub: OpenAIStub
):
    texts = _many(300)
    acme.write(texts)
    provider = _remote(openai_stub, desk.model)
    openai_stub.spoil("status", status=503, times=None)
    pauses = []
    passed = timedelta()
    while passed < timedelta(hours=1):
        outcome = desk.drain(provider, acme)
        assert isinstance(outcome.error, SourceError)
        assert is_transient(outcome.error)
        assert "300 texts wait" in str(outcome.error)
        assert desk.counts(acme) == {"pending": 300}
        ((seconds, openings),) = desk.rests()
        assert openings == len(pauses) + 1
        assert "503" in _reason(desk)
        pauses.append(round(seconds))
        desk.wait(timedelta(seconds=seconds))
        passed += timedelta(seconds=seconds)
    assert set(acme.attempts().values()) == {0}
    assert pauses[:7] == [5, 10, 20, 40, 80, 160, 300]
    assert max(pauses) == 300
    assert openai_stub.fired() == [len(pauses)]
    openai_stub.clear()
    outcome = desk.drain(provider, acme)
    assert (outcome.embedded, outcome.error) == (300, None)
    assert [text for batch in openai_stub.requests() for text in batch] == list(texts.values())
    acme.require_right(desk.model)
    assert desk.rests()[0][1] == 0


def test_an_outage_with_a_time_to_come_back_at_lasts_until_then_and_opens_the_breaker(
    desk: Desk, acme: Tenant, openai_stub: OpenAIStub
):
    acme.write(_many(10))
    openai_stub.spoil("status", status=503, retry_after=600)
    outcome = desk.drain(_remote(openai_stub, desk.model), acme)
    assert openai_stub.fired() == [1]
    assert isinstance(outcome.error, SourceError)
    ((seconds, openings),) = desk.rests()
    assert 590 < seconds <= 600
    assert openings == 1


def test_after_an_outage_one_worker_asks_and_the_others_burn_no_attempt(
    desk: Desk, acme: Tenant, openai_stub: OpenAIStub
):
    other = desk.tenant("other")
    acme.write(_many(10))
    other.write(_many(10, "q"))
    openai_stub.spoil("status", status=503)
    desk.drain(_remote(openai_stub, desk.model), acme)
    desk.wait(timedelta(seconds=6))

    def meanwhile() -> None:
        second = Recorder()
        outcome = desk.drain(second, other)
        assert (second.batches, outcome.calls, outcome.error) == ([], 0, None)
        assert "is paused until" in (outcome.note or "")

    assert desk.drain(Recorder(once(meanwhile)), acme).embedded == 10
    assert desk.drain(Recorder(), other).embedded == 10
    assert other.states() == {}


def test_a_provider_that_fails_in_the_middle_keeps_what_it_answered(desk: Desk, acme: Tenant, openai_stub: OpenAIStub):
    acme.write(_many(200))
    openai_stub.spoil("drop_after", after=2)
    provider = _remote(openai_stub, desk.model)
    outcome = desk.drain(provider, acme)
    assert openai_stub.fired() == [1]
    assert (outcome.embedded, outcome.waiting) == (128, 72)
    assert isinstance(outcome.error, SourceError)
    desk.wait(timedelta(minutes=5))
    assert desk.drain(provider, acme).embedded == 72
    acme.require_right(desk.model)


def test_a_provider_that_needs_a_person_says_so_and_keeps_the_queue(desk: Desk, acme: Tenant, openai_stub: OpenAIStub):
    acme.write(_many(200))
    openai_stub.spoil("status", status=401, times=None)
    outcome = desk.drain(_remote(openai_stub, desk.model), acme)
    assert openai_stub.fired() == [1]
    assert isinstance(outcome.error, ConfigurationError)
    assert "OPENAI_API_KEY" in str(outcome.error)
    assert "200 texts wait" in str(outcome.error)
    assert desk.counts(acme) == {"pending": 200}
    assert set(acme.attempts().values()) == {0}
    # After the fault is corrected there is no wait.
    openai_stub.clear()
    assert desk.drain(_remote(openai_stub, desk.model), acme).embedded == 200


def test_a_provider_that_cannot_be_opened_is_told_for_each_tenant_with_texts(desk: Desk, acme: Tenant):
    acme.write(_many(10))
    idle = desk.tenant("idle")

    def unusable(_model: Model) -> Provider:
        raise ConfigurationError("It is not installed.")

    outcome = desk.drain(Recorder(), acme, idle, open_provider=unusable)
    assert str(outcome.error) == "It is not installed. 10 texts wait."
    assert desk.drain(Recorder(), idle, acme, open_provider=unusable).error is None


def test_a_defect_of_a_provider_is_loud_and_the_texts_go_back_at_once(desk: Desk, acme: Tenant):
    acme.write(_many(100))
    with pytest.raises(ZeroDivisionError):
        desk.drain(Recorder(once(_raises(ZeroDivisionError()))), acme)
    assert desk.counts(acme) == {"pending": 100}
    desk.drain(Recorder(), acme)
    acme.require_right(desk.model)


# Other workers, and texts that change meanwhile.


def test_an_answer_that_comes_after_the_lease_writes_nothing(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi", "p2": "hue"})
    other = Recorder()

    def meanwhile() -> None:
        assert acme.expire_leases() == 1
        acme.write({"p1": "saigon"})
        assert desk.drain(other, acme).embedded == 2

    outcome = desk.drain(Recorder(once(meanwhile)), acme)
    assert sorted(other.texts) == ["hue", "saigon"]
    assert (outcome.embedded, outcome.failed, outcome.error) == (0, 0, None)
    acme.require_right(desk.model)


def test_a_worker_that_vanished_is_a_failed_attempt_and_five_are_enough(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi"})
    for attempt in range(5):
        with tenant_transaction(desk.app, "acme"):
            assert jobs.claim(desk.app, "acme", "profile", [desk.model], at_most=1).size == 1
        assert acme.attempts() == {"p1": attempt}
        assert acme.expire_leases() == 1
    outcome = desk.drain(Recorder(), acme)
    assert (outcome.dead, outcome.embedded) == (1, 0)
    words = acme.rows("SELECT status, attempts, last_error FROM embeddings.embedding_job")
    assert words == [("dead", 5, "its worker vanished")]
    # A text that changed while the worker had it is another text.
    acme.write({"p1": "vinh"})
    assert desk.drain(Recorder(), acme).embedded == 1
    acme.require_right(desk.model)


@pytest.mark.parametrize("has_vector", [False, True])
def test_a_text_whose_workers_vanished_is_dead_unless_it_has_its_vector(desk: Desk, acme: Tenant, *, has_vector: bool):
    acme.write({"p1": "hanoi"})
    if has_vector:
        desk.drain(Recorder(), acme)
        acme.enqueue("p1")
    acme.vanish()
    acme.change("UPDATE embeddings.text_batch SET attempts = 4")
    outcome = desk.drain(Recorder(), acme)
    assert (outcome.dead, outcome.unchanged) == ((0, 1) if has_vector else (1, 0))
    assert acme.states() == ({} if has_vector else {"p1": "dead"})


def test_a_text_that_was_never_alone_with_a_worker_is_not_given_up(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi", "p2": "hue"})
    acme.vanish()
    acme.change("UPDATE embeddings.text_batch SET attempts = 4")
    provider = Recorder()
    assert desk.drain(provider, acme).embedded == 2
    assert provider.batches == [["hanoi"], ["hue"]]
    acme.require_right(desk.model)


def test_a_lease_is_extended_while_the_provider_works(desk: Desk, acme: Tenant, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker, "Leases", partial(Leases, every_seconds=0.05))
    acme.write({"p1": "hanoi"})

    def slow() -> None:
        acme.change("UPDATE embeddings.text_batch SET lease_until = now() + interval '1 second'")
        within(
            10,
            lambda: (
                acme.rows("SELECT 1 FROM embeddings.text_batch WHERE lease_until > now() + interval '50 seconds'")
                == [(1,)]
            ),
        )

    assert desk.drain(Recorder(once(slow)), acme).embedded == 1


@pytest.mark.parametrize("how", ["close", "delete"])
def test_an_entity_that_goes_while_it_is_processed_gets_no_vector(desk: Desk, acme: Tenant, how: str):
    acme.write({"p1": "hanoi", "p2": "hue"})
    outcome = desk.drain(Recorder(once(lambda: getattr(acme, how)("p1"))), acme)
    assert (outcome.embedded, outcome.waiting) == (1, 0)
    assert acme.vectors(desk.model).keys() == {"p2"}
    acme.require_right(desk.model)


def test_an_entity_that_goes_and_comes_back_has_the_vector_of_its_last_text(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi", "p2": "hue"})

    def meanwhile() -> None:
        acme.delete("p1")
        acme.write({"p1": "saigon"})

    desk.drain(Recorder(once(meanwhile)), acme)
    acme.require_right(desk.model)


def test_a_fault_of_one_tenant_costs_no_other_anything(desk: Desk, acme: Tenant):
    other = desk.tenant("other")
    acme.write(_many(10))
    other.write(_many(10, "q"))
    with desk.warehouse.superuser() as superuser:
        superuser.execute("ALTER TABLE embeddings.embedding ADD CHECK (tenant_id <> 'acme')")
    outcome = desk.drain(Recorder(), acme, other)
    assert isinstance(outcome.error, psycopg.errors.CheckViolation)
    other.require_right(desk.model)
    # It is not sent again before its lease ends.
    assert desk.counts(acme) == {"processing": 10}


# PostgreSQL.


def test_connections_that_are_cut_fail_the_run_and_the_next_one_completes(desk: Desk, acme: Tenant):
    acme.write(_many(1_000))
    provider = Recorder(_at_call(5, lambda: _cut_connections(desk)))
    with pytest.raises(psycopg.OperationalError):
        desk.drain(provider, acme)
    assert len(provider.batches) >= 5
    # Claimed jobs were put back by a new connection.
    assert "processing" not in desk.counts(acme)
    assert set(acme.attempts().values()) == {0}
    assert desk.drain(Recorder(), acme).waiting == 0
    acme.require_right(desk.model)


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A PostgreSQL that a test may do anything to."""
    with running_server() as running:
        yield running


def test_a_postgresql_that_goes_away_fails_the_run_and_loses_nothing(own_server: Server):
    warehouse = Warehouse(postgres_settings(own_server, own_server.new_database("test_owner")), own_server)
    migrate(warehouse.settings)
    with connect(warehouse.settings) as app:
        desk = Desk(warehouse, app)
        acme = desk.tenant()
        acme.write(_many(1_000))
    with pytest.raises(psycopg.OperationalError):
        desk.drain(Recorder(_at_call(5, own_server.postgres.stop)), acme)
    assert not own_server.postgres.is_running()
    own_server.postgres.start(superuser_password=PASSWORD)
    with connect(warehouse.settings) as app:
        acme.connection = desk.app = app
        assert sum(desk.counts(acme).values()) == 1_000
        # A minute later.
        acme.let_time_pass()
        outcome = desk.drain(Recorder(), acme)
        assert (outcome.error, outcome.waiting, outcome.dead) == (None, 0, 0)
        acme.require_right(desk.model)


def _at_call(number: int, what: Callable[[], object]) -> Callable[[Sequence[str]], None]:
    calls = iter(range(1, number + 1))

    def disturb(_texts: Sequence[str]) -> None:
        if next(calls, None) == number:
            what()

    return disturb


def _cut_connections(desk: Desk) -> None:
    """End all connections to the warehouse but the test's own."""
    with desk.warehouse.superuser() as superuser:
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> ALL (%s)",
            [[superuser.info.backend_pid, desk.app.info.backend_pid]],
        )


def _reason(desk: Desk) -> str:
    row = desk.app.execute("SELECT reason FROM ops.gate").fetchone()
    return row[0] if row else ""
