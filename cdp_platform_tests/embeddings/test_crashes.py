"""A run that is killed anywhere and run again leaves the same rows as a run that was never killed."""

import itertools
import os
import signal
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import pytest

from cdp_platform.embeddings import jobs, worker
from cdp_platform.embeddings.providers import Embedded, Provider, Purpose, open_provider
from cdp_platform_tests import crashes
from cdp_platform_tests.embeddings.texts import DIMENSIONS, Desk, Recorder, Tenant
from cdp_platform_tests.openai_stub import OpenAIStub
from cdp_sandbox.openai.vectors import count_tokens

_Pair = tuple[Tenant, Tenant]
_TOKEN_DOLLARS = Decimal("0.02")


@pytest.fixture(autouse=True)
def _small_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a handful of texts crosses several transactions."""
    monkeypatch.setattr(worker, "_WRITE_TEXTS", 1)


@pytest.fixture
def fresh(desk: Desk, openai_stub: OpenAIStub) -> Callable[[], _Pair]:
    """Two tenants with texts that are new, changed, unchanged, and gone."""
    desk.price(str(_TOKEN_DOLLARS * 1_000_000))
    numbers = itertools.count(1)

    def make() -> _Pair:
        number = next(numbers)
        pair = desk.tenant(f"one{number}"), desk.tenant(f"two{number}")
        for tenant in pair:
            tenant.write({f"p{each}": f"town {each}" for each in range(4)})
            desk.drain(Recorder(), tenant)
            tenant.write({"p1": "", "p2": "moved", **{f"q{each:02}": f"new town {each}" for each in range(7)}})
            tenant.enqueue("p3")
            # The cost of embedding these is not counted here.
            tenant.change("DELETE FROM embeddings.spend")
        openai_stub.clear()
        return pair

    return make


@pytest.fixture
def work(desk: Desk, openai_stub: OpenAIStub) -> Callable[[_Pair], None]:
    def go(pair: _Pair) -> None:
        assert desk.drain(_remote(desk, openai_stub), *pair, batch_size=2).error is None

    return go


def test_a_run_that_is_killed_anywhere_is_completed_by_the_next_and_pays_for_no_less_than_was_sent(
    desk: Desk, openai_stub: OpenAIStub, fresh: Callable[[], _Pair], work: Callable[[_Pair], None]
):
    killed_after = set()
    for point, pair in crashes.after_every_write(work, fresh):
        _require_completed(desk, openai_stub, pair, work, point)
        killed_after.add(point.exchange)
    written = (
        "copy_end",
        "INSERT INTO embeddings.embedding",
        "INSERT INTO embeddings.usage",
        "DELETE FROM embeddings.text_batch",
        "SELECT batches",
    )
    assert all(any(exchange.startswith(each) for exchange in killed_after) for each in written)


@pytest.mark.parametrize("answered", [False, True])
def test_a_run_that_is_killed_around_any_call_is_completed_by_the_next(
    desk: Desk, openai_stub: OpenAIStub, fresh: Callable[[], _Pair], work: Callable[[_Pair], None], *, answered: bool
):
    call = 0
    while True:
        call += 1
        pair = fresh()
        if not _is_killed(_Mortal(call, _remote(desk, openai_stub), answered=answered), desk, pair):
            break
        processing = [{text for text, state in tenant.states().items() if state == "processing"} for tenant in pair]
        assert any(processing)
        # Texts that may still be with a worker are not taken.
        work(pair)
        for tenant, texts in zip(pair, processing, strict=True):
            assert {text for text, state in tenant.states().items() if state == "processing"} == texts
        _require_completed(desk, openai_stub, pair, work)
    assert call > 8


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_text_that_kills_its_worker_is_dead_in_the_end_and_all_others_have_vectors(desk: Desk, *, one_by_one: bool):
    tenant = desk.tenant("poisoned")
    number = 40 if one_by_one else 700
    texts = {f"p{each:03}": "poison" if each == number - 7 else f"town {each}" for each in range(number)}
    for some in [{key: text} for key, text in texts.items()] if one_by_one else [texts]:
        tenant.write(some)
    deaths = 0
    while _is_killed(_Poisoned(Recorder()), desk, (tenant, tenant), batch_size=64):
        deaths += 1
        assert deaths <= jobs.MAX_ATTEMPTS
        tenant.expire_leases()
    assert deaths == jobs.MAX_ATTEMPTS
    assert tenant.states() == {f"p{number - 7:03}": "dead"}
    assert tenant.vectors(desk.model).keys() == texts.keys() - tenant.states().keys()
    # It is another text now.
    tenant.write({f"p{number - 7:03}": "hanoi"})
    assert desk.drain(Recorder(), tenant).embedded == 1
    tenant.require_right(desk.model)


def _require_completed(
    desk: Desk, openai_stub: OpenAIStub, pair: _Pair, work: Callable[[_Pair], None], where: object = None
) -> None:
    for tenant in pair:
        tenant.let_time_pass()
        assert max(tenant.attempts().values(), default=0) <= 1, where
    work(pair)
    for tenant in pair:
        tenant.require_right(desk.model)
        assert tenant.states() == {}, where
    sent = sum(count_tokens(text) for batch in openai_stub.requests() for text in batch)
    assert sum(tenant.usage()[3] for tenant in pair) >= sent * _TOKEN_DOLLARS, where


@dataclass
class _Mortal:
    """A provider that ends its process at one of its calls, before the answer or right after it."""

    lives: int
    provider: Provider
    answered: bool
    dimensions: int = DIMENSIONS
    max_characters: int = 1_000

    def embed(self, texts: Sequence[str], *, purpose: Purpose) -> Embedded:
        self.lives -= 1
        if not self.lives and not self.answered:
            os.kill(os.getpid(), signal.SIGKILL)
        embedded = self.provider.embed(texts, purpose=purpose)
        if not self.lives:
            os.kill(os.getpid(), signal.SIGKILL)
        return embedded


@dataclass
class _Poisoned:
    """A provider that one text kills, with its process."""

    provider: Provider
    dimensions: int = DIMENSIONS
    max_characters: int = 1_000

    def embed(self, texts: Sequence[str], *, purpose: Purpose) -> Embedded:
        if "poison" in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.provider.embed(texts, purpose=purpose)


def _is_killed(provider: Provider, desk: Desk, pair: _Pair, *, batch_size: int = 2) -> bool:
    """Run in a child; whether it was killed."""
    with warnings.catch_warnings():
        # Threads of the test do not run in the child, and it waits for none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            desk.drain(provider, *pair, batch_size=batch_size)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def _remote(desk: Desk, stub: OpenAIStub) -> Provider:
    return open_provider("openai", desk.model.name, stub.settings(), dimensions=DIMENSIONS)
