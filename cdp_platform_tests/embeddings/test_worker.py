"""One run of the worker."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from cdp_platform.embeddings import models
from cdp_platform.embeddings.models import Model
from cdp_platform.embeddings.providers import Provider, RefusedTextError, open_provider
from cdp_platform.embeddings.reconcile import reconcile
from cdp_platform.errors import ConfigurationError, UnavailableError
from cdp_platform_tests.embeddings.texts import Desk, Recorder, Tenant, once
from cdp_platform_tests.openai_stub import OpenAIStub


def _many(count: int, prefix: str = "p") -> dict[str, str]:
    return {f"{prefix}{number:05}": f"{prefix} town {number}" for number in range(count)}


def test_every_text_gets_its_vector_and_is_sent_once(desk: Desk, acme: Tenant):
    acme.write(_many(300))
    provider = Recorder()
    outcome = desk.drain(provider, acme)
    assert (outcome.embedded, outcome.calls, outcome.waiting, outcome.error) == (300, 5, 0, None)
    assert provider.texts == list(_many(300).values())
    acme.require_right(desk.model)
    assert acme.usage() == (outcome.calls, 300, outcome.tokens, 0)


def test_a_text_that_has_its_vector_is_not_sent_again(desk: Desk, acme: Tenant):
    acme.write(_many(100))
    desk.drain(Recorder(), acme)
    acme.enqueue(*_many(100))
    provider = Recorder()
    outcome = desk.drain(provider, acme)
    assert (outcome.unchanged, outcome.embedded, provider.batches) == (100, 0, [])
    acme.require_right(desk.model)


def test_without_a_live_model_it_says_what_to_do(desk: Desk, acme: Tenant):
    desk.app.execute("UPDATE embeddings.embedding_model SET state = 'retired'")
    acme.write({"p1": "hanoi"})
    with pytest.raises(ConfigurationError, match="No embedding model is active"):
        desk.drain(Recorder(), acme)
    assert acme.states() == {"p1": "pending"}


def test_a_large_backlog_of_one_tenant_does_not_delay_another(desk: Desk, acme: Tenant):
    small = desk.tenant("small")
    acme.write(_many(5_000))
    small.write(_many(10, "q"))
    provider = Recorder()
    outcome = desk.drain(provider, acme, small)
    of_small = {number for number, batch in enumerate(provider.batches) if batch[0].startswith("q")}
    assert max(of_small) <= 5
    assert len(provider.batches) > 70
    assert outcome.embedded == 5_000
    acme.require_right(desk.model)
    small.require_right(desk.model)


def test_a_text_that_is_refused_costs_the_others_nothing_but_some_calls(desk: Desk, acme: Tenant):
    acme.write(_many(100))

    def refuse(texts: Sequence[str]) -> None:
        if "p town 37" in texts:
            raise RefusedTextError("the provider's words")

    provider = Recorder(refuse)
    outcome = desk.drain(provider, acme)
    assert (outcome.embedded, outcome.failed, outcome.waiting) == (99, 1, 1)
    assert len(provider.batches) <= math.ceil(100 / 64) + 2 * math.log2(100)
    assert acme.vectors(desk.model).keys() == _many(100).keys() - {"p00037"}
    for attempt in range(1, 6):
        assert acme.attempts()["p00037"] == attempt
        if attempt < 5:
            (wait,) = acme.rows(
                "SELECT extract(epoch FROM not_before - now())::int FROM embeddings.embedding_job"
                " WHERE status = 'failed'"
            )[0]
            assert 0 < wait <= 60 * 2 ** (attempt - 1)
            assert desk.drain(provider, acme).failed == 0
            acme.let_time_pass()
            outcome = desk.drain(provider, acme)
    assert (outcome.failed, outcome.dead, outcome.waiting) == (0, 1, 0)
    words = acme.rows("SELECT status, last_error FROM embeddings.embedding_job WHERE entity_id = 'p00037'")
    assert words == [("dead", "the provider's words")]
    acme.let_time_pass()
    calls = len(provider.batches)
    desk.drain(provider, acme)
    # The nightly comparison leaves it alone as well.
    assert reconcile(desk.app, "acme", "profile").enqueued == 0
    desk.drain(provider, acme)
    assert len(provider.batches) == calls
    # A changed text is sent.
    acme.write({"p00037": "hanoi"})
    assert desk.drain(provider, acme).embedded == 1
    acme.require_right(desk.model)


def test_texts_that_are_known_to_be_at_fault_are_left_out_at_once(desk: Desk, acme: Tenant):
    acme.write(_many(64))

    def refuse(texts: Sequence[str]) -> None:
        if bad := tuple(place for place, text in enumerate(texts) if text.endswith("7")):
            raise RefusedTextError("no sevens", indexes=bad)

    provider = Recorder(refuse)
    outcome = desk.drain(provider, acme)
    assert (outcome.embedded, outcome.failed, len(provider.batches)) == (58, 6, 2)


def test_a_budget_stops_at_the_text_that_would_exceed_it_and_says_so(desk: Desk, acme: Tenant):
    # A dollar per token.
    desk.price("1000000")
    other = desk.tenant("other")
    texts = {f"p{number:03}": f"town number {number:03}" for number in range(100)}
    acme.write(texts)
    other.write({"q1": "hue"})
    provider = Recorder()
    outcome = desk.drain(provider, acme, other, budget=Decimal(60))
    # Estimated at five tokens each, and counted as four.
    assert (outcome.embedded, outcome.cost, outcome.error) == (12, 48, None)
    assert outcome.note == "the budget of $60 for today (UTC) is used up; 88 texts wait"
    other.require_right(desk.model)
    assert acme.usage() == (1, 12, 48, 48)
    # They wait for tomorrow, and the sensor asks for no run today.
    assert desk.drain(provider, acme, budget=Decimal(60)).embedded == 0
    assert desk.app.execute("SELECT * FROM embeddings.waiting()").fetchall() == []
    # The estimate was too high: after the correction, the rest of the budget is available for a retry.
    acme.retry()
    assert desk.drain(provider, acme, budget=Decimal(60)).embedded == 2
    assert desk.counts(acme) == {"pending": 86}
    assert sorted(acme.vectors(desk.model)) == list(texts)[:14]
    acme.change("UPDATE embeddings.spend SET day = day - 1")
    acme.let_time_pass()
    assert desk.drain(provider, acme, budget=Decimal(60)).embedded == 12


def test_what_is_not_sent_costs_nothing(desk: Desk, acme: Tenant):
    desk.price("1000000")
    acme.write(_many(100))
    outcome = desk.drain(Recorder(), acme, seconds=0)
    assert outcome.note == "the time of this run is over; 100 texts wait"
    assert acme.usage() == (0, 0, 0, 0)
    outcome = desk.drain(Recorder(), acme)
    assert acme.usage() == (2, 100, outcome.tokens, outcome.tokens)


def test_a_call_whose_answer_is_lost_is_paid_for_by_its_estimate(desk: Desk, acme: Tenant):
    desk.price("1000000")
    acme.write({"p1": "hanoi hanoi hanoi"})

    def away() -> None:
        raise UnavailableError("no answer")

    outcome = desk.drain(Recorder(once(away)), acme)
    assert acme.usage() == (1, 0, 6, 6)
    assert (outcome.cost, outcome.calls) == (6, 1)


def test_every_live_model_gets_its_vectors_and_a_retired_one_none(desk: Desk, acme: Tenant):
    building = desk.add_model("text-embedding-3-large", "building", dimensions=24, max_characters=5)
    retired = desk.add_model("older", "retired")
    acme.write(_many(10))
    opened: dict[int, Recorder] = {}

    def open_one(model: Model) -> Provider:
        opened[model.model_id] = Recorder(dimensions=model.dimensions, max_characters=model.max_characters)
        return opened[model.model_id]

    outcome = desk.drain(Recorder(), acme, open_provider=open_one)
    assert outcome.embedded == 10
    assert opened.keys() == {desk.model.model_id, building.model_id}
    assert opened[building.model_id].texts == [text[:5] for text in _many(10).values()]
    for model in (desk.model, building):
        acme.require_right(model)
    assert not acme.vectors(retired)


def test_a_model_that_is_retired_while_it_is_called_gets_no_vector(desk: Desk, acme: Tenant):
    building = desk.add_model("text-embedding-3-large", "building")
    acme.write(_many(10))

    def switch() -> None:
        desk.app.execute("UPDATE embeddings.embedding_model SET state = 'retired' WHERE state = 'active'")
        desk.app.execute("UPDATE embeddings.embedding_model SET state = 'active' WHERE state = 'building'")

    outcome = desk.drain(Recorder(once(switch)), acme)
    assert (outcome.embedded, outcome.error) == (10, None)
    assert not acme.vectors(desk.model)
    acme.require_right(building)


def test_a_model_that_is_added_while_texts_are_processed_gets_all_of_them(desk: Desk, acme: Tenant):
    acme.write(_many(100))

    def add() -> None:
        desk.add_model("text-embedding-3-large", "building")
        acme.change("SELECT embeddings.reconcile('acme', 'profile')")

    assert desk.drain(Recorder(once(add)), acme).waiting == 0
    for model in models.live(desk.app):
        acme.require_right(model)


def test_while_one_of_two_models_is_away_the_other_is_served(desk: Desk, acme: Tenant):
    building = desk.add_model("text-embedding-3-large", "building")
    acme.write(_many(600))

    def away(_texts: object) -> None:
        raise UnavailableError("no answer")

    recorders = {desk.model.model_id: Recorder(), building.model_id: Recorder(away)}
    outcome = desk.drain(Recorder(), acme, open_provider=lambda model: recorders[model.model_id])
    assert len(acme.vectors(desk.model)) == 600
    assert (len(recorders[building.model_id].batches), outcome.waiting) == (1, 600)
    assert str(outcome.error) == "no answer; 600 texts wait."
    # They are put off, so that texts without a vector of the other model are claimed first.
    put_off = "SELECT sum(cardinality(entity_ids)) FROM embeddings.text_batch WHERE not_before > now()"
    assert acme.rows(put_off) == [(600,)]
    desk.wait()
    acme.let_time_pass()
    provider = Recorder()
    assert desk.drain(provider, acme).embedded == 600
    assert len(provider.texts) == 600
    acme.require_right(building)


@pytest.mark.parametrize("how", ["fewer_vectors", "wrong_dimensions", "nan", "zero", "duplicate_index", "no_index"])
def test_an_answer_that_cannot_be_used_is_no_vector_and_asked_for_again(
    desk: Desk, acme: Tenant, openai_stub: OpenAIStub, how: str
):
    acme.write(_many(20))
    provider = _remote(openai_stub, desk.model)
    openai_stub.spoil("distort", how=how)
    outcome = desk.drain(provider, acme)
    assert openai_stub.fired() == [1]
    if outcome.waiting:
        acme.let_time_pass()
        desk.drain(provider, acme)
    acme.require_right(desk.model)


def test_an_answer_in_another_order_gives_each_text_its_own_vector(desk: Desk, acme: Tenant, openai_stub: OpenAIStub):
    acme.write(_many(20))
    openai_stub.spoil("distort", how="shuffled")
    assert desk.drain(_remote(openai_stub, desk.model), acme).embedded == 20
    assert openai_stub.fired() == [1]
    acme.require_right(desk.model)


def test_vectors_of_other_dimensions_need_a_person_and_nothing_is_stored(
    desk: Desk, acme: Tenant, openai_stub: OpenAIStub
):
    acme.write(_many(100))
    openai_stub.spoil("distort", how="wrong_dimensions", times=None)
    outcome = desk.drain(_remote(openai_stub, desk.model), acme)
    assert openai_stub.fired() == [1]
    assert isinstance(outcome.error, ConfigurationError)
    assert "100 texts wait" in str(outcome.error)
    assert (acme.vectors(desk.model), set(acme.attempts().values())) == ({}, {0})
    openai_stub.clear()
    desk.drain(_remote(openai_stub, desk.model), acme)
    acme.require_right(desk.model)


def test_progress_tells_of_every_text(desk: Desk, acme: Tenant):
    acme.write({**_many(700), "p1": ""})
    told: list[tuple[Any, ...]] = []
    desk.drain(Recorder(), acme, progress=lambda *what: told.append(what))
    assert {tenant_id for tenant_id, _ in told} == {"acme"}
    assert sum(texts for _, texts in told) == 701
    assert np.all([texts > 0 for _, texts in told])


def _remote(stub: OpenAIStub, model: Model) -> Provider:
    return open_provider("openai", model.name, stub.settings(), dimensions=model.dimensions)
