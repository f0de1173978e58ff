"""The worker that embeds the waiting texts of some tenants.

It goes round the tenants and claims some texts of each, so that a large backlog of one tenant delays no other. While
the provider works on a request, one thread writes the answers before it and another one claims the next texts, each on
a connection of its own. The provider is called outside any transaction.
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
from cdp_platform.embeddings.models import Model
from cdp_platform.embeddings.providers import Provider
from cdp_platform.embeddings.settlement import Answer, settle
from cdp_platform.embeddings.usage import Sent
from cdp_platform.errors import ConfigurationError, UnavailableError
from cdp_platform.ops import erasure
from cdp_platform.ops.leases import Connect, Leases
from cdp_platform.warehouse.connection import tenant_transaction

# Most texts of one claim. With a slow provider a claim has about a second's work, so that no tenant waits long.
_MOST_CLAIMED = 2_000
# Answers are written together: this number of texts, or those of this time.
_WRITE_TEXTS = 500
_WRITE_SECONDS = 1.0
# Batches that another worker is claiming are looked at again after this time; they may be split.
_WHILE_OTHERS_CLAIM_SECONDS = 0.01
# A text that waits for a model whose provider is away is put off by this, so that others are claimed before it.
_PUT_OFF = timedelta(minutes=1)


@dataclass
class DrainResult:
    """The result of a run for one tenant.

    Attributes:
        embedded: texts that got their vectors.
        unchanged: texts that had them already, or were refused before; nothing was sent.
        emptied: entities without a text, which are forgotten.
        failed: texts that were refused and will be tried again.
        dead: texts that have failed too often.
        waiting: texts in the queue at the end of the run, among them failed ones.
        calls: number of requests to providers, among them failed ones.
        tokens: as the providers counted them; an estimate for requests whose answer was lost.
        cost: US dollars.
        note: why texts wait, if no person has to act: a budget is used up, a provider is paused, the time is over.
        error: why texts wait, if it is a fault. The figures here are right all the same.
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
    """Embed texts until none waits that can be embedded now.

    Args:
        connect: opens a connection as the platform's role; up to four are open at a time.
        tenant_ids: whose texts.
        kind: of the texts.
        open_provider: called at most once for each live model.
        batch_size: texts per request.
        budget: US dollars per tenant and day (UTC), for models with a price.
        seconds: no request begins later than this.
        progress: called from any thread with a tenant and the number of its texts that were finished since.

    Returns:
        What was done, by tenant. If texts wait because a provider is away (UnavailableError) or a person must act
        (ConfigurationError), this is the tenant's `error`; so is a fault of the tenant's own.

    Raises:
        ConfigurationError: no model is live.
        psycopg.OperationalError: the warehouse was lost. Commits stay, and claimed texts go back into the queue, at
            the latest when their leases end.
    """
    tenant_ids = list(tenant_ids)
    with (
        connect() as claiming,
        connect() as writing,
        connect() as gates,
        Leases(connect) as leases,
        ThreadPoolExecutor(1, "claim") as claimer,
        ThreadPoolExecutor(1, "write") as writer,
    ):
        run = _Run(
            kind=kind,
            batch_size=batch_size,
            budget=budget,
            progress=progress,
            results={tenant_id: DrainResult() for tenant_id in tenant_ids},
            waiting=deque(tenant_ids),
            claiming=claiming,
            writing=writing,
            calls=Calls(gates, open_provider, seconds=seconds),
            leases=leases,
            claimer=claimer,
            writer=writer,
            claim_size=4 * batch_size,
        )
        run.drain()
    return run.results


@dataclass
class _Claimed:
    """The texts that were claimed for one tenant.

    Attributes:
        models: the live ones, the active one first.
        reserved: ids of the models for which the cost of the claim was estimated and reserved.
        is_last: whether the tenant has no more texts that can be claimed.
        has_failed: whether answers could not be written. The claim is left to the end of its lease.
    """

    claim: Claim
    models: dict[int, Model]
    reserved: set[int]
    is_last: bool
    has_failed: bool = False


@dataclass
class _Answered:
    """Answers that are written in one transaction, and what was sent for them by model."""

    answers: list[Answer] = field(default_factory=list)
    sent: dict[int, Sent] = field(default_factory=dict)


@dataclass
class _Run:
    """One run. The main thread calls providers, a second one claims, a third one writes.

    Attributes:
        waiting: tenants that may have texts to claim, in the order in which they are claimed.
        claim_size: number of texts of the next claim.
        live: the live models, the active one first.
        unwritten: answers that no thread writes yet.
        written_at: when answers were last handed over to the thread that writes.
        writes: those that are not known to have ended.
    """

    kind: Kind
    batch_size: int
    budget: Decimal | None
    progress: Callable[[str, int], object]
    results: dict[str, DrainResult]
    waiting: deque[str]
    claiming: psycopg.Connection
    writing: psycopg.Connection
    calls: Calls
    leases: Leases
    claimer: ThreadPoolExecutor
    writer: ThreadPoolExecutor
    claim_size: int
    live: list[Model] = field(default_factory=list)
    unwritten: _Answered = field(default_factory=_Answered)
    written_at: float = field(default_factory=time.monotonic)
    writes: deque[Future[None]] = field(default_factory=deque)

    def drain(self) -> None:
        for connection in (self.claiming, self.writing):
            jobs.prepare(connection)
        # A claim that a crash of the server takes back was never made.
        self.claiming.execute("SET synchronous_commit = off")
        # Raises if there is none.
        models.active(self.claiming)
        self.live = models.live(self.claiming)
        for model in self.live:
            self.calls.begin(model)
        ahead = self._claim_ahead()
        while ahead is not None:
            claimed = ahead.result()
            if claimed is not None and not claimed.is_last:
                self._look_again(claimed.claim.tenant_id)
            is_suspect = claimed is not None and claimed.claim.vanished > 0
            if is_suspect:
                # If it kills this worker too, no other text is to blame.
                self._wait_for_writes(but=0)
            ahead = None if is_suspect else self._claim_ahead()
            if claimed is not None and claimed.claim.texts:
                self._embed(claimed)
            else:
                # Nothing to send, so the claim took little time.
                self.claim_size = min(_MOST_CLAIMED, 2 * self.claim_size)
            if ahead is None:
                # Texts that changed while they were processed are in other batches.
                self._wait_for_writes(but=0)
                ahead = self._claim_ahead()
        for tenant_id, result in self.results.items():
            self._conclude(tenant_id, result)

    def _look_again(self, tenant_id: str) -> None:
        """Claim for the tenant once more, in its turn, unless it has a fault."""
        if self.results[tenant_id].error is None and tenant_id not in self.waiting:
            self.waiting.append(tenant_id)

    # The main thread.

    def _can_go_on(self) -> bool:
        return not self.calls.are_over() and any(map(self.calls.may_go_to, self.live))

    def _claim_ahead(self) -> Future[_Claimed | None] | None:
        """Begin to claim for the next tenant; None if no tenant or no provider is left."""
        if not self.waiting or not self._can_go_on():
            return None
        return self.claimer.submit(self._claim, self.waiting.popleft(), self.claim_size)

    def _embed(self, claimed: _Claimed) -> None:
        began = time.monotonic()
        self.live = list(claimed.models.values())
        texts = claimed.claim.texts
        for start in range(0, len(texts), self.batch_size):
            answers = [Answer(text) for text in texts[start : start + self.batch_size]]
            for model in self.live:
                wanted = [answer for answer in answers if model.model_id in answer.text.stale]
                if wanted:
                    sent = self.unwritten.sent.setdefault(model.model_id, Sent())
                    self.calls.embed(model, wanted, sent)
                    if model.model_id in claimed.reserved:
                        sent.reserved += sum(_estimate(answer.text, model) for answer in wanted)
            self.unwritten.answers += answers
            self._write(claimed, is_last=start + self.batch_size >= len(texts))
        self.claim_size = max(self.batch_size, min(_MOST_CLAIMED, int(len(texts) / (time.monotonic() - began))))

    def _write(self, claimed: _Claimed, *, is_last: bool) -> None:
        """Hand over to the thread that writes, if it is idle and there is enough, or at the end of a claim."""
        enough = (
            len(self.unwritten.answers) >= _WRITE_TEXTS or time.monotonic() - self.written_at >= _WRITE_SECONDS
        ) and all(write.done() for write in self.writes)
        if not (enough or is_last):
            return
        self._wait_for_writes(but=1)
        put_off_until = datetime.now(UTC) + _PUT_OFF if self._can_go_on() else None
        self.writes.append(self.writer.submit(self._settle, claimed, self.unwritten, put_off_until, is_last=is_last))
        self.unwritten, self.written_at = _Answered(), time.monotonic()

    def _wait_for_writes(self, *, but: int) -> None:
        while len(self.writes) > but:
            self.writes.popleft().result()

    def _conclude(self, tenant_id: str, result: DrainResult) -> None:
        with tenant_transaction(self.claiming, tenant_id):
            result.waiting = jobs.waiting(self.claiming, tenant_id, self.kind)
        if not result.waiting or result.error is not None:
            return
        waiting = f"{result.waiting:,} texts wait"
        for error in self.calls.away.values():
            if isinstance(error, UnavailableError):
                result.error = UnavailableError(f"{error}; {waiting}.")
            else:
                result.error = ConfigurationError(f"{error} {waiting}.")
            return
        if result.note is None and not self._can_go_on():
            result.note = "; ".join(self.calls.paused.values()) or "the time of this run is over"
        if result.note is not None:
            result.note += f"; {waiting}"

    # The thread that claims.

    def _claim(self, tenant_id: str, at_most: int) -> _Claimed | None:
        result = self.results[tenant_id]
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
            result.error = error
            return None
        if claim.texts:
            self.leases.hold(claim)
        elif not (claim.size or claim.is_last):
            time.sleep(_WHILE_OTHERS_CLAIM_SECONDS)
        if not within_budget:
            result.note = f"the budget of ${self.budget} for today (UTC) is used up"
        result.unchanged += claim.unchanged
        result.emptied += claim.emptied
        result.dead += claim.dead
        if claim.unchanged or claim.emptied:
            self.progress(tenant_id, claim.unchanged + claim.emptied)
        return _Claimed(
            claim,
            models={model.model_id: model for model in live},
            reserved={model.model_id for model in priced},
            is_last=claim.is_last or not within_budget,
        )

    def _reserve(self, claim: Claim, priced: Sequence[Model]) -> bool:
        """Reserve the estimated cost of the texts within the budget, and put back the others; whether all are."""
        self.claiming.execute("SET LOCAL synchronous_commit = on")
        costs = [
            sum((usage.cost(model, _estimate(text, model)) for model in priced), Decimal(0)) for text in claim.texts
        ]
        spend = usage.spend(claim.tenant_id, claim.day)
        affordable = spend.reserve(self.claiming, costs, limit=self.budget)
        if affordable < len(costs):
            # Due texts would make the sensor ask for run after run, which have nothing to spend.
            midnight = _midnight_after(claim.day)
            jobs.put_off(self.claiming, claim.tenant_id, claim.kind, midnight)
            claim.again |= {text.entity_id: midnight for text in claim.texts[affordable:]}
            del claim.texts[affordable:]
            if not claim.texts:
                claim.end(self.claiming)
        return affordable == len(costs)

    # The thread that writes.

    def _settle(self, claimed: _Claimed, done: _Answered, put_off_until: datetime | None, *, is_last: bool) -> None:
        tenant_id = claimed.claim.tenant_id
        result = self.results[tenant_id]
        left_out, wait_for, is_noted = done.answers, None, False
        try:
            while left_out:
                with tenant_transaction(self.writing, tenant_id):
                    if not any(model.price_per_million_tokens for model in claimed.models.values()):
                        # After a crash of the server the claim is there again, and embedding it costs nothing.
                        self.writing.execute("SET LOCAL synchronous_commit = off")
                    erasure.while_nobody_is_erased(self.writing, tenant_id)
                    settled, left_out = settle(
                        self.writing,
                        claimed.claim,
                        left_out,
                        claimed.models,
                        put_off_until=put_off_until,
                        wait_for=wait_for,
                    )
                    if not is_noted:
                        self._note(claimed, done, result)
                    if is_last and not left_out and not claimed.has_failed:
                        claimed.claim.end(self.writing)
                is_noted = True
                result.embedded += settled.embedded
                result.failed += settled.failed
                result.dead += settled.dead
                self.progress(tenant_id, settled.embedded + settled.failed + settled.dead)
                wait_for = left_out[0].text.entity_id if left_out else None
        except psycopg.Error as error:
            if self.writing.closed:
                raise
            result.error = error
            # The end of its lease counts as a failed attempt, so texts that cannot be stored are not sent for ever.
            claimed.has_failed = True
            self.leases.let_go(claimed.claim)
        if is_last:
            self.leases.let_go(claimed.claim)
            self._look_again(tenant_id)

    def _note(self, claimed: _Claimed, done: _Answered, result: DrainResult) -> None:
        for model_id, sent in done.sent.items():
            model = claimed.models[model_id]
            usage.note(self.writing, claimed.claim.tenant_id, model, claimed.claim.day, sent)
            result.calls += sent.calls
            result.tokens += sent.tokens
            result.cost += usage.cost(model, sent.tokens)


def _midnight_after(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def _estimate(text: Text, model: Model) -> int:
    """Number of tokens that the model is likely to count; 0 if it has a vector of the text."""
    return usage.estimate([text.content[: model.max_characters]]) if model.model_id in text.stale else 0
