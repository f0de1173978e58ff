"""The jobs of texts: which texts are enqueued, when they are claimed, and what is stored afterwards."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp_platform.embeddings import jobs
from cdp_platform.errors import UnavailableError
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.embeddings.texts import Desk, Recorder, Tenant, once, within


def test_there_is_at_most_one_job_for_an_entity(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi"})
    acme.write({"p1": "hue"})
    acme.enqueue("p1", "p1")
    assert acme.jobs() == {"p1": "pending"}
    provider = Recorder()
    desk.drain(provider, acme)
    assert provider.texts == ["hue"]
    acme.write({"p1": "saigon"})
    acme.write({"p1": "vinh"})
    assert acme.jobs() == {"p1": "pending"}


def test_a_text_that_changes_while_it_is_processed_is_done_again(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi", "p2": "hue"})
    provider = Recorder(once(lambda: acme.write({"p1": "saigon"})))
    outcome = desk.drain(provider, acme)
    assert provider.batches == [["hanoi", "hue"], ["saigon"]]
    assert outcome.waiting == 0
    acme.require_right(desk.model)


def test_only_what_changes_a_text_gets_into_the_queue(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi", "p2": "hue", "p3": "vinh"})
    desk.drain(Recorder(), acme)
    acme.change("UPDATE customers.cdp_profiles SET primary_email = profile_id || '@example.com', age = 30")
    assert desk.counts(acme) == {"completed": 3}
    acme.change("UPDATE customers.cdp_profiles SET living_location = 'saigon' WHERE profile_id = 'p2'")
    assert acme.jobs() == {"p1": "completed", "p2": "pending", "p3": "completed"}
    acme.change("UPDATE customers.cdp_profiles SET living_location = profile_id || '@example.com' || living_location")
    desk.drain(Recorder(), acme)
    assert not [text for text in acme.texts().values() if "@" in text]


@pytest.mark.parametrize("how", ["close", "delete"])
def test_a_closed_or_deleted_entity_loses_vector_passage_and_job(desk: Desk, acme: Tenant, how: str):
    acme.write({"p1": "hanoi", "p2": "hue"})
    desk.drain(Recorder(), acme)
    getattr(acme, how)("p1")
    assert acme.jobs() == {"p2": "completed"}
    acme.require_right(desk.model)
    assert acme.vectors(desk.model).keys() == {"p2"}
    acme.write({"p1": "hanoi"})
    desk.drain(Recorder(), acme)
    assert acme.vectors(desk.model).keys() == {"p1", "p2"}
    acme.require_right(desk.model)


def test_an_entity_without_a_text_is_sent_nowhere_and_forgotten(desk: Desk, acme: Tenant):
    acme.write({"p1": "", "p2": " ", "p3": "hue"})
    provider = Recorder()
    outcome = desk.drain(provider, acme)
    assert (outcome.emptied, outcome.embedded, provider.texts) == (2, 1, ["hue"])
    assert acme.jobs() == {"p3": "completed"}


def test_a_text_of_a_megabyte_is_cut_and_lands(desk: Desk, acme: Tenant):
    long = "việt nam " * 120_000
    acme.write({"p1": long, "p2": "hue"})
    provider = Recorder()
    outcome = desk.drain(provider, acme)
    assert outcome.embedded == 2
    assert len(provider.texts[0]) == desk.model.max_characters
    acme.require_right(desk.model)
    # Only the part beyond the model's limit changed: nothing to send, but other words to find.
    acme.write({"p1": long[:5_000] + "the end"})
    assert (desk.drain(provider, acme).unchanged, len(provider.batches)) == (1, 1)
    acme.require_right(desk.model)


def test_two_workers_share_a_tenant_and_send_each_text_once(desk: Desk, acme: Tenant):
    texts = {f"p{number:03}": f"town {number}" for number in range(400)}
    acme.write(texts)
    both_have_some = threading.Barrier(2, timeout=60)
    providers = [Recorder(once(both_have_some.wait)) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda provider: desk.drain(provider, acme, batch_size=10), providers))
    assert sorted([*providers[0].texts, *providers[1].texts]) == sorted(texts.values())
    assert sum(outcome.embedded for outcome in outcomes) == 400
    acme.require_right(desk.model)


def test_failed_and_dead_jobs_can_be_put_back(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi", "p2": "hue", "p3": "vinh"})
    acme.change("UPDATE embeddings.embedding_job SET status = 'dead', attempts = 5 WHERE entity_id = 'p1'")
    acme.change(
        "UPDATE embeddings.embedding_job SET status = 'failed', attempts = 2, not_before = now() + interval '1 hour'"
        " WHERE entity_id = 'p2'"
    )
    assert desk.counts(acme) == {"dead": 1, "failed": 1, "pending": 1}
    with tenant_transaction(desk.app, "acme"):
        assert jobs.retry(desk.app, "acme", "profile") == 2
        assert jobs.retry(desk.app, "acme", "profile") == 0
    assert acme.attempts() == {"p1": 0, "p2": 0, "p3": 0}
    provider = Recorder()
    desk.drain(provider, acme)
    assert provider.texts[0] == "vinh"
    acme.require_right(desk.model)


def test_it_says_since_when_the_first_one_waits(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi", "p2": "hue"})
    acme.change("UPDATE embeddings.embedding_job SET enqueued_at = now() - interval '2 hours' WHERE entity_id = 'p2'")
    with tenant_transaction(desk.app, "acme"):
        since = jobs.oldest_waiting(desk.app, "acme", "profile")
        assert since is not None
        assert timedelta(hours=2) <= datetime.now(UTC) - since < timedelta(hours=3)
    desk.drain(Recorder(), acme)
    with tenant_transaction(desk.app, "acme"):
        assert jobs.oldest_waiting(desk.app, "acme", "profile") is None


def test_a_worker_holds_no_job_while_it_waits_for_one_that_somebody_enqueues(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi", "p2": "hue", "p3": "vinh"})
    change = "UPDATE customers.cdp_profiles SET living_location = 'saigon' WHERE profile_id = %s"
    holds_p3 = threading.Event()

    def others() -> None:
        with desk.connect() as connection, tenant_transaction(connection, "acme"):
            connection.execute(change, ["p3"])
            holds_p3.set()
            # In the opposite order of a worker.
            within(10, lambda: acme_jobs(connection)["p1"] == "completed")
            connection.execute(change, ["p1"])

    def acme_jobs(connection: psycopg.Connection) -> dict[str, str]:
        return dict(connection.execute("SELECT entity_id, status FROM embeddings.embedding_job").fetchall())

    with ThreadPoolExecutor(1) as pool:
        futures = []

        def begin() -> None:
            futures.append(pool.submit(others))
            assert holds_p3.wait(60)

        outcome = desk.drain(Recorder(once(begin)), acme)
        futures[0].result()
    assert outcome.error is None
    desk.drain(Recorder(), acme)
    assert acme.texts() == {"p1": "saigon", "p2": "hue", "p3": "saigon"}
    acme.require_right(desk.model)


_entities = st.sampled_from(["p1", "p2", "p3", "p4", "p5"])
_changes = st.one_of(
    st.tuples(st.just("write"), _entities, st.sampled_from(["hanoi", "hue", "saigon", "vinh", ""])),
    st.tuples(st.sampled_from(["close", "delete", "enqueue"]), _entities),
    st.tuples(st.just("expire_leases")),
)
_steps = st.one_of(
    _changes,
    # A run whose provider fails after some calls, and the changes that happen during its first call.
    st.tuples(st.just("drain"), st.integers(0, 4), st.lists(_changes, max_size=3)),
    st.tuples(st.just("vanish"), st.integers(1, 5)),
)
_numbers = itertools.count(1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_steps, min_size=3, max_size=15))
def test_whatever_happens_in_whichever_order_vectors_are_those_of_the_texts_in_the_end(
    desk: Desk, steps: list[tuple[Any, ...]]
):
    tenant = desk.tenant(f"tenant{next(_numbers)}")
    tenant.write({f"p{number}": f"town {number}" for number in range(1, 6)})

    def change(what: str, *arguments: str) -> None:
        if what == "write":
            entity_id, text = arguments
            tenant.write({entity_id: text})
        else:
            getattr(tenant, what)(*arguments)

    def drain(calls: int, meanwhile: list[tuple[str, ...]]) -> None:
        left = [calls]

        def disturb(_texts: object) -> None:
            while meanwhile:
                change(*meanwhile.pop())
            if not left[0]:
                raise UnavailableError("cut short")
            left[0] -= 1

        desk.drain(Recorder(disturb), tenant, batch_size=2)
        desk.wait()

    def vanish(at_most: int) -> None:
        with tenant_transaction(desk.app, tenant.tenant_id):
            jobs.claim(desk.app, tenant.tenant_id, "profile", [desk.model], at_most=at_most)

    for what, *arguments in steps:
        if what == "drain":
            drain(arguments[0], list(arguments[1]))
        elif what == "vanish":
            vanish(*arguments)
        else:
            change(what, *arguments)
    tenant.let_time_pass()
    assert desk.drain(Recorder(), tenant).error is None
    # A job whose worker vanished five times is dead until a person retries it.
    with tenant_transaction(desk.app, tenant.tenant_id):
        jobs.retry(desk.app, tenant.tenant_id, "profile")
    assert desk.drain(Recorder(), tenant).waiting == 0
    tenant.require_right(desk.model)
