"""A worker that gives every waiting text of some tenants its vector.

Tenants take turns, so that a large backlog of one delays no other. While the provider works on a batch, one thread
writes the batches before it and another claims the next turn, each on a connection of its own; the provider is called
outside any transaction.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg

from cdp_platform.embeddings import jobs, models, usage
from cdp_platform.embeddings.calls import Calls
from cdp_platform.embeddings.jobs import Claim, Text
from cdp_platform.embeddings.kinds import Kind
from cdp_platform.embeddings.leases import Connect, Leases
from cdp_platform.embeddings.models import Model
from cdp_platform.embeddings.providers import Provider, ProviderUnavailableError
from cdp_platform.embeddings.settlement import Answer, settle
from cdp_platform.embeddings.usage import Spent
from cdp_platform.errors import ConfigurationError, SourceError
from cdp_platform.ops import erasure
from cdp_platform.warehouse.connection import tenant_transaction

# Most jobs of one turn. A slow provider gets about a second's worth, so that no tenant waits long for its turn.
_TURN = 2_000
# Answers are written together, but none waits much longer than this for others.
_WRITE_TEXTS = 500
_WRITE_SECONDS = 1.0
# How long a text of which one model is away leaves the queue to texts that another one can embed.
_PUT_OFF = timedelta(minutes=1)


@dataclass
class DrainResult:
    """What a run did for one tenant.

    Attributes:
        embedded: texts that got their vectors.
        unchanged: texts that had them already; nothing was sent.
        emptied: entities without a text, which are forgotten.
        failed: texts that were refused and will be tried again.
        dead: texts that have failed too often.
        waiting: jobs in the queue as the run ended, failed ones that will be tried again among them.
        calls: requests to providers, also those that failed.
        tokens: as the providers counted them; an estimate for requests whose answer was lost.
        cost: US dollars.
        note: why texts wait, if nobody has to do anything: a budget is used up, a provider paused, the time over.
        error: why texts wait, if it is a fault. What is counted here was done all the same.
    """

    embedded: int = 0
    unchanged: int = 0
    emptied: int = 0
    failed: int = 0
    dead: int = 0
    waiting: int = 0
    calls: int = 0
    tokens: int = 0
    cost: Decimal = Decimal(0)
    note: str | None = None
    error: Exception | None = None


def drain(
    connect: Connect,
    tenant_ids: Iterable[str],
    kind: Kind,
    *,
    open_provider: Callable[[Model], Provider],
    batch_size: int,
    budget: Decimal | None = None,
    seconds: float = float("inf"),
    progress: Callable[[str, int], object] = lambda _tenant_id, _texts: None,
) -> dict[str, DrainResult]:
    """Embed what waits, until nothing does that can be embedded now.

    Args:
        connect: opens a connection as the platform's role; up to three are open at a time.
        tenant_ids: whose texts.
        kind: of the texts.
        open_provider: called at most once for each live model.
        batch_size: texts per request.
        budget: US dollars per tenant and day (UTC), for models with a price.
        seconds: no request begins later than this.
        progress: called from any thread with a tenant and how many more of its texts are done with.

    Returns:
        What was done, by tenant. Where texts wait because a provider is away (SourceError, transient) or a person is
        needed (ConfigurationError), that is the tenant's `error`; so is a fault of the tenant's own.

    Raises:
        ConfigurationError: no model is live.
        psycopg.OperationalError: the warehouse was lost. What was committed stays, and what was claimed goes back into
            the queue, at the latest when its lease ends.
    """
    run = _Run(
        connect,
        kind,
        open_provider=open_provider,
        batch_size=batch_size,
        budget=budget,
        seconds=seconds,
        progress=progress,
    )
    return run.drain(tenant_ids)


@dataclass
class _Turn:
    """What was claimed for one tenant.

    Attributes:
        models: the live ones, the active one first.
        noted: those for which the tokens of the claim were estimated and noted.
        is_last: whether it took all that can be claimed.
    """

    claim: Claim
    models: dict[int, Model]
    noted: set[int]
    is_last: bool


@dataclass
class _Answers:
    """Answers that go into one transaction, with what was spent on them by model."""

    answers: list[Answer] = field(default_factory=list)
    spent: dict[int, Spent] = field(default_factory=dict)


class _Run:
    """One run. The main thread calls providers, a second one claims, a third one writes."""

    def __init__(
        self,
        connect: Connect,
        kind: Kind,
        *,
        open_provider: Callable[[Model], Provider],
        batch_size: int,
        budget: Decimal | None,
        seconds: float,
        progress: Callable[[str, int], object],
    ) -> None:
        self.connect = connect
        self.kind: Kind = kind
        self.batch_size = batch_size
        self.budget = budget
        self.progress = progress
        self.outcomes: dict[str, DrainResult] = {}
        self.turns: deque[str] = deque()
        self.turn_size = 4 * batch_size
        self.calls = Calls(connect, open_provider, seconds=seconds)
        self.leases = Leases(connect)
        self.unwritten = _Answers()
        self.written_at = time.monotonic()
        self.writes: deque[Future[None]] = deque()

    def drain(self, tenant_ids: Iterable[str]) -> dict[str, DrainResult]:
        self.outcomes = {tenant_id: DrainResult() for tenant_id in tenant_ids}
        self.turns.extend(self.outcomes)
        with (
            self.connect() as self.claiming,
            self.connect() as self.writing,
            self.leases,
            ThreadPoolExecutor(1, "claim") as self.claimer,
            ThreadPoolExecutor(1, "write") as self.writer,
        ):
            for connection in (self.claiming, self.writing):
                # Statements of index lookups, which cost nothing; by the planner's estimate they are worth compiling.
                connection.execute("SET jit = off")
            # Says what to do if there is none.
            models.active(self.claiming)
            self.live = models.live(self.claiming)
            for model in self.live:
                self.calls.begin(model)
            ahead = self._next_turn()
            while ahead is not None:
                turn = ahead.result()
                if turn is not None and not turn.is_last and self.outcomes[turn.claim.tenant_id].error is None:
                    self.turns.append(turn.claim.tenant_id)
                ahead = self._next_turn()
                if turn is not None and turn.claim.texts:
                    self._embed(turn)
                else:
                    # Nothing to send: the turn took no time to speak of.
                    self.turn_size = min(_TURN, 2 * self.turn_size)
                if ahead is None:
                    # What changed while it was processed is in the queue again.
                    self._wait_for_writes(but=0)
                    ahead = self._next_turn()
            for tenant_id, outcome in self.outcomes.items():
                self._conclude(tenant_id, outcome)
        return self.outcomes

    # The main thread.

    def _can_go_on(self) -> bool:
        return not self.calls.are_over() and any(map(self.calls.may_go_to, self.live))

    def _next_turn(self) -> Future[_Turn | None] | None:
        """Begin to claim for the tenant whose turn it is, if there is one, and anybody to call."""
        if not self.turns or not self._can_go_on():
            return None
        return self.claimer.submit(self._claim, self.turns.popleft(), self.turn_size)

    def _embed(self, turn: _Turn) -> None:
        began = time.monotonic()
        self.live = list(turn.models.values())
        texts = turn.claim.texts
        for start in range(0, len(texts), self.batch_size):
            answers = [Answer(text) for text in texts[start : start + self.batch_size]]
            for model in self.live:
                wanted = [answer for answer in answers if model.model_id in answer.text.stale]
                if wanted:
                    spent = self.unwritten.spent.setdefault(model.model_id, Spent())
                    self.calls.embed(model, wanted, spent)
                    if model.model_id in turn.noted:
                        spent.noted += sum(_estimate(answer.text, model) for answer in wanted)
            self.unwritten.answers += answers
            self._write(turn, is_last=start + self.batch_size >= len(texts))
        self.turn_size = max(self.batch_size, min(_TURN, int(len(texts) / (time.monotonic() - began))))

    def _write(self, turn: _Turn, *, is_last: bool) -> None:
        """Hand over to the thread that writes, if it is idle and there is enough, or at the end of a turn."""
        enough = (
            len(self.unwritten.answers) >= _WRITE_TEXTS or time.monotonic() - self.written_at >= _WRITE_SECONDS
        ) and all(write.done() for write in self.writes)
        if not (enough or is_last):
            return
        self._wait_for_writes(but=1)
        put_off_until = datetime.now(UTC) + _PUT_OFF if self._can_go_on() else None
        self.writes.append(self.writer.submit(self._settle, turn, self.unwritten, put_off_until, is_last=is_last))
        self.unwritten, self.written_at = _Answers(), time.monotonic()

    def _wait_for_writes(self, *, but: int) -> None:
        while len(self.writes) > but:
            self.writes.popleft().result()

    def _conclude(self, tenant_id: str, outcome: DrainResult) -> None:
        with tenant_transaction(self.claiming, tenant_id):
            outcome.waiting = jobs.waiting(self.claiming, tenant_id, self.kind)
        if not outcome.waiting or outcome.error is not None:
            return
        waiting = f"{outcome.waiting:,} texts wait"
        for error in self.calls.away.values():
            if isinstance(error, ProviderUnavailableError):
                outcome.error = SourceError(f"{error}; {waiting}.", transient=True)
            else:
                outcome.error = ConfigurationError(f"{error} {waiting}.")
            return
        if outcome.note is None and not self._can_go_on():
            outcome.note = "; ".join(self.calls.paused.values()) or "the time of this run is over"
        if outcome.note is not None:
            outcome.note += f"; {waiting}"

    # The thread that claims.

    def _claim(self, tenant_id: str, at_most: int) -> _Turn | None:
        outcome = self.outcomes[tenant_id]
        try:
            with tenant_transaction(self.claiming, tenant_id):
                erasure.while_nobody_is_erased(self.claiming, tenant_id)
                live = models.live(self.claiming)
                claim = jobs.claim(self.claiming, tenant_id, self.kind, live, at_most=at_most)
                priced = [model for model in live if model.price_per_million_tokens and self.calls.may_go_to(model)]
                within_budget = not (claim.texts and priced) or self._reserve(claim, priced)
        except psycopg.Error as error:
            if self.claiming.closed:
                raise
            outcome.error = error
            return None
        if claim.texts:
            self.leases.hold(claim)
        if not within_budget:
            outcome.note = f"the budget of ${self.budget} for today (UTC) is used up"
        outcome.unchanged += claim.unchanged
        outcome.emptied += claim.emptied
        outcome.dead += claim.dead
        if claim.unchanged or claim.emptied:
            self.progress(tenant_id, claim.unchanged + claim.emptied)
        noted = {model.model_id for model in priced}
        is_last = claim.jobs < at_most or not within_budget
        return _Turn(claim, {model.model_id: model for model in live}, noted, is_last)

    def _reserve(self, claim: Claim, priced: Sequence[Model]) -> bool:
        """Note estimates for as many texts as the budget covers, and put back the others; returns if it covers all."""
        estimates = [[_estimate(text, model) for model in priced] for text in claim.texts]
        affordable = len(claim.texts)
        if self.budget is not None:
            left = self.budget - usage.spent_on(self.claiming, claim.tenant_id, priced, claim.day)
            for place, tokens in enumerate(estimates):
                left -= sum(map(usage.cost, priced, tokens))
                if left < 0:
                    affordable = place
                    break
        for model, tokens in zip(priced, zip(*estimates[:affordable], strict=True), strict=False):
            usage.note(self.claiming, claim.tenant_id, model, claim.day, tokens=sum(tokens))
        jobs.put_back(self.claiming, claim, [text.entity_id for text in claim.texts[affordable:]])
        within_budget = affordable == len(claim.texts)
        if not within_budget:
            # Otherwise the queue would call for a run that has nothing to spend, again and again.
            jobs.put_off(self.claiming, claim.tenant_id, claim.kind, _midnight_after(claim.day))
        del claim.texts[affordable:]
        return within_budget

    # The thread that writes.

    def _settle(self, turn: _Turn, done: _Answers, put_off_until: datetime | None, *, is_last: bool) -> None:
        tenant_id = turn.claim.tenant_id
        outcome = self.outcomes[tenant_id]
        left_out, wait_for = done.answers, None
        try:
            while left_out:
                with tenant_transaction(self.writing, tenant_id):
                    erasure.while_nobody_is_erased(self.writing, tenant_id)
                    settled, left_out = settle(
                        self.writing, turn.claim, left_out, turn.models, put_off_until=put_off_until, wait_for=wait_for
                    )
                    if wait_for is None:
                        self._note_usage(turn, done, outcome)
                outcome.embedded += settled.embedded
                outcome.failed += settled.failed
                outcome.dead += settled.dead
                if settled.reopened or settled.lost:
                    self.turns.append(tenant_id)
                self.progress(tenant_id, settled.embedded + settled.failed + settled.dead)
                wait_for = left_out[0].text.entity_id if left_out else None
        except psycopg.Error as error:
            if self.writing.closed:
                raise
            outcome.error = error
            # The lease ends it, and counts it as a failed attempt: what cannot be stored is not paid for without end.
            self.leases.let_go(turn.claim)
        if is_last:
            self.leases.let_go(turn.claim)

    def _note_usage(self, turn: _Turn, done: _Answers, outcome: DrainResult) -> None:
        for model_id, spent in done.spent.items():
            model = turn.models[model_id]
            usage.note(
                self.writing,
                turn.claim.tenant_id,
                model,
                turn.claim.day,
                calls=spent.calls,
                texts=spent.texts,
                tokens=spent.tokens - spent.noted,
            )
            outcome.calls += spent.calls
            outcome.tokens += spent.tokens
            outcome.cost += usage.cost(model, spent.tokens)


def _midnight_after(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def _estimate(text: Text, model: Model) -> int:
    """Tokens that the model is likely to count, if it has to make a vector at all."""
    return usage.estimate(text.content[: model.max_characters]) if model.model_id in text.stale else 0
