"""The queue of texts: which texts are enqueued, when they are claimed, and what is stored afterwards."""

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp_platform.embeddings import jobs, settlement
from cdp_platform.errors import UnavailableError
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.embeddings.texts import Desk, Recorder, Tenant, once, within


def test_a_text_that_is_in_several_batches_is_sent_once(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi"})
    acme.write({"p1": "hue"})
    acme.enqueue("p1", "p1")
    assert acme.states() == {"p1": "pending"}
    provider = Recorder()
    assert desk.drain(provider, acme).embedded == 1
    assert provider.texts == ["hue"]
    acme.require_right(desk.model)


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
    assert desk.counts(acme) == {}
    acme.change("UPDATE customers.cdp_profiles SET living_location = 'saigon' WHERE profile_id = 'p2'")
    assert acme.states() == {"p2": "pending"}
    acme.change("UPDATE customers.cdp_profiles SET living_location = profile_id || '@example.com' || living_location")
    desk.drain(Recorder(), acme)
    assert not [text for text in acme.texts().values() if "@" in text]


@pytest.mark.parametrize("how", ["close", "delete"])
def test_a_closed_or_deleted_entity_loses_vector_and_passage(desk: Desk, acme: Tenant, how: str):
    acme.write({"p1": "hanoi", "p2": "hue"})
    desk.drain(Recorder(), acme)
    getattr(acme, how)("p1")
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
    acme.require_right(desk.model)


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


def test_failed_and_dead_texts_can_be_put_back(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi", "p2": "hue", "p3": "vinh"})
    acme.fail("p1", "dead", attempts=5)
    acme.fail("p2", "failed", attempts=2, hours=1)
    assert desk.counts(acme) == {"dead": 1, "failed": 1, "pending": 1}
    assert acme.retry() == 2
    assert acme.retry() == 0
    assert acme.attempts() == {"p1": 0, "p2": 0, "p3": 0}
    assert desk.counts(acme) == {"pending": 3}
    provider = Recorder()
    desk.drain(provider, acme)
    assert provider.texts == ["vinh", "hanoi", "hue"]
    acme.require_right(desk.model)


def test_an_older_text_that_is_answered_last_does_not_take_the_place_of_a_newer_one(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi", "p2": "hue"})
    other = Recorder()

    def meanwhile() -> None:
        for text in ("saigon", "vinh", "dalat"):
            acme.write({"p1": text})
            desk.drain(other, acme)

    outcome = desk.drain(Recorder(once(meanwhile)), acme)
    assert (other.texts, outcome.embedded) == (["saigon", "vinh", "dalat"], 1)
    acme.require_right(desk.model)


@pytest.mark.parametrize("how", ["write", "close", "delete"])
def test_a_change_between_the_look_at_a_text_and_the_write_of_its_vector_waits(
    desk: Desk, acme: Tenant, monkeypatch: pytest.MonkeyPatch, how: str
):
    acme.write({"p1": "hanoi", "p2": "hue"})
    write_vectors = settlement._write_vectors
    changed = threading.Event()

    def change() -> None:
        with desk.connect() as connection:
            tenant = Tenant(acme.warehouse, connection, "acme")
            if how == "write":
                tenant.write({"p1": "saigon"})
            else:
                getattr(tenant, how)("p1")
        desk.drain(Recorder(), acme)
        changed.set()

    with ThreadPoolExecutor(1) as pool:

        def meanwhile(*arguments: Any) -> None:
            monkeypatch.setattr(settlement, "_write_vectors", write_vectors)
            pool.submit(change)
            # Long enough for a change that does not wait, and for another worker that embeds it.
            assert not changed.wait(1.5)
            write_vectors(*arguments)

        monkeypatch.setattr(settlement, "_write_vectors", meanwhile)
        assert desk.drain(Recorder(), acme).embedded >= 1
    assert changed.is_set()
    assert desk.drain(Recorder(), acme).waiting == 0
    acme.require_right(desk.model)


def test_two_workers_and_writers_that_change_the_same_texts_end_with_the_last_ones(desk: Desk, acme: Tenant):
    names = [f"p{number}" for number in range(8)]
    acme.write(dict.fromkeys(names, "town"))
    is_over = threading.Event()

    def write(seed: int) -> None:
        draw = random.Random(seed)  # noqa: S311
        with desk.connect() as connection:
            tenant = Tenant(acme.warehouse, connection, "acme")
            for number in range(80):
                # In the order of the keys, as every writer of the platform.
                some = sorted(draw.sample(names, 3))
                what = draw.choice(["write", "write", "write", "close", "delete"])
                if what == "write":
                    tenant.write(dict.fromkeys(some, f"town {seed} {number}"))
                else:
                    getattr(tenant, what)(some[0])

    def work() -> list[Exception]:
        faults = []
        while not is_over.is_set():
            with desk.connect() as connection:
                mine = Tenant(acme.warehouse, connection, "acme")
                outcome = desk.drain(Recorder(), mine, batch_size=2)
            faults += [outcome.error] if outcome.error else []
        return faults

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work) for _ in range(2)]
        writers = [pool.submit(write, seed) for seed in range(2)]
        for writer in writers:
            writer.result()
        is_over.set()
        assert [fault for worker in workers for fault in worker.result()] == []
    assert desk.drain(Recorder(), acme).waiting == 0
    acme.require_right(desk.model)


@pytest.mark.parametrize(("status", "hours"), [("dead", 0), ("failed", 1)])
def test_a_refused_text_that_is_told_again_is_not_sent_before_it_changes(
    desk: Desk, acme: Tenant, status: str, hours: int
):
    acme.write({"p1": "hanoi", "p2": "hue"})
    acme.fail("p1", status, attempts=5, hours=hours)
    acme.enqueue("p1", "p2")
    provider = Recorder()
    desk.drain(provider, acme)
    assert (provider.texts, acme.states()) == (["hue"], {"p1": status})
    acme.write({"p1": "vinh"})
    desk.drain(provider, acme)
    assert provider.texts == ["hue", "vinh"]
    acme.require_right(desk.model)


def test_it_says_since_when_the_first_one_waits(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi"})
    acme.change("UPDATE embeddings.text_batch SET enqueued_at = now() - interval '2 hours'")
    acme.write({"p2": "hue"})
    with tenant_transaction(desk.app, "acme"):
        since = jobs.oldest_waiting(desk.app, "acme", "profile")
        assert since is not None
        assert timedelta(hours=2) <= datetime.now(UTC) - since < timedelta(hours=3)
    desk.drain(Recorder(), acme)
    with tenant_transaction(desk.app, "acme"):
        assert jobs.oldest_waiting(desk.app, "acme", "profile") is None


def test_a_worker_waits_for_a_row_that_somebody_changes_and_locks_none_meanwhile(desk: Desk, acme: Tenant):
    acme.write({"p1": "hanoi", "p2": "hue", "p3": "vinh"})
    change = "UPDATE customers.cdp_profiles SET living_location = 'saigon' WHERE profile_id = %s"
    holds_p3 = threading.Event()

    def others() -> None:
        with desk.connect() as connection, tenant_transaction(connection, "acme"):
            connection.execute(change, ["p3"])
            holds_p3.set()
            # In the opposite order of a worker.
            within(10, lambda: connection.execute("SELECT FROM embeddings.embedding").rowcount == 2)
            connection.execute(change, ["p1"])

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
    # A text whose worker vanished five times is dead until a person retries it.
    tenant.retry()
    assert desk.drain(Recorder(), tenant).waiting == 0
    tenant.require_right(desk.model)
