"""Calls of the providers of models, each through the gate of its account.

A refused batch is split until the text at fault is found. After a rest that a provider asks for, the call is repeated.
A provider that does not answer, or that needs a person, is not called again in the run.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from cdp_platform.embeddings import usage
from cdp_platform.embeddings.models import Model
from cdp_platform.embeddings.providers import Provider, RefusedTextError
from cdp_platform.embeddings.settlement import Answer
from cdp_platform.embeddings.usage import Sent
from cdp_platform.errors import ConfigurationError, PacedError, UnavailableError
from cdp_platform.ops.gate import Breaker, Closed, Gate

if TYPE_CHECKING:
    import numpy as np

# A run waits this long for a call; for a longer rest it leaves the texts to a later run.
_LONGEST_WAIT_SECONDS = 60.0
_SHORTEST_WAIT_SECONDS = 0.1
# A request takes up to a minute, so one without an answer is enough.
_BREAKER = Breaker(failures=1)


class _NotNowError(Exception):
    """The provider of a model cannot be called now. Why is noted."""


def gate_of(connection: psycopg.Connection, model: Model) -> Gate | None:
    """The gate of calls of a model; None for a model on this machine, which may always be called."""
    if model.provider != "openai":
        return None
    return Gate(connection, f"embeddings {model.provider} {model.name}", breaker=_BREAKER)


def turn(connection: psycopg.Connection, model: Model, *, wait_seconds: float) -> AbstractContextManager[object]:
    """A turn at the gate of a model for the one call inside; see `Gate.turn`."""
    gate = gate_of(connection, model)
    return gate.turn(wait_seconds=wait_seconds) if gate else nullcontext()


def closed(connection: psycopg.Connection, model: Model) -> Closed | None:
    """Why a model is not called now, and for how many seconds; None if it may be called."""
    gate = gate_of(connection, model)
    return gate.closed() if gate else None


class Calls:
    """The providers of one run.

    Attributes:
        connection: for gates; outside any transaction.
        away: models that are not called any more, and why.
        paused: models whose gates stay closed for longer than the run waits, and until when, in words.
    """

    def __init__(
        self, connection: psycopg.Connection, open_provider: Callable[[Model], Provider], *, seconds: float
    ) -> None:
        self.connection = connection
        self.away: dict[int, UnavailableError | ConfigurationError] = {}
        self.paused: dict[int, str] = {}
        self._open_provider = open_provider
        self._providers: dict[int, Provider] = {}
        self._ends_at = time.monotonic() + seconds

    def are_over(self) -> bool:
        """Whether the time of the run is over."""
        return time.monotonic() >= self._ends_at

    def may_go_to(self, model: Model) -> bool:
        """Whether the model's provider can be called in this run."""
        return model.model_id not in self.away and model.model_id not in self.paused

    def begin(self, model: Model) -> None:
        """Look at a model before the first call. A model that is paused is left out of the run."""
        if (found := closed(self.connection, model)) is not None:
            self._leave_paused(model, found.seconds)

    def embed(self, model: Model, answers: Sequence[Answer], sent: Sent) -> None:
        """Fill in the vectors of one model, or its refusals. An answer that gets neither is to be sent again."""
        batches = deque([answers])
        while batches:
            batch = batches.popleft()
            try:
                vectors = self._call(model, batch, sent)
            except _NotNowError:
                return
            except RefusedTextError as error:
                batches.extendleft(reversed([*_split(batch, error, model)]))
            else:
                for answer, vector in zip(batch, vectors, strict=True):
                    answer.vectors[model.model_id] = vector

    def _call(self, model: Model, batch: Sequence[Answer], sent: Sent) -> "np.ndarray":
        """The vectors of one batch, after a wait if the provider asks for one."""
        contents = [answer.text.content[: model.max_characters] for answer in batch]
        estimate = usage.estimate(contents) if model.price_per_million_tokens else 0
        while not self.are_over() and self.may_go_to(model):
            calls = sent.calls
            wait_seconds = min(_LONGEST_WAIT_SECONDS, self._ends_at - time.monotonic())
            try:
                provider = self._provider(model)
                with turn(self.connection, model, wait_seconds=wait_seconds):
                    sent.calls += 1
                    embedded = provider.embed(contents, purpose="document")
            except (PacedError, UnavailableError) as error:
                if sent.calls == calls:
                    self._leave_paused(model, error.retry_after_seconds or 0.0)
                elif isinstance(error, PacedError):
                    # The gate keeps the rest; a provider that says 0 seconds is not asked again at once.
                    time.sleep(_SHORTEST_WAIT_SECONDS)
                else:
                    # The provider may have done the work, and charge for it.
                    sent.tokens += estimate
                    self.away[model.model_id] = error
            except ConfigurationError as error:
                self.away[model.model_id] = error
            else:
                sent.texts += len(batch)
                sent.tokens += embedded.tokens or estimate
                return embedded.vectors
        raise _NotNowError

    def _provider(self, model: Model) -> Provider:
        if model.model_id not in self._providers:
            self._providers[model.model_id] = self._open_provider(model)
        return self._providers[model.model_id]

    def _leave_paused(self, model: Model, seconds: float) -> None:
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        self.paused[model.model_id] = f"{model.label} is paused until {until:%H:%M:%S} UTC"


def _split(batch: Sequence[Answer], error: RefusedTextError, model: Model) -> Iterator[Sequence[Answer]]:
    """The batches to send instead of a refused one. A text that is known to be at fault gets the refusal."""
    at_fault = set(error.indexes) or ({0} if len(batch) == 1 else set())
    if at_fault:
        for place in at_fault:
            batch[place].refusal, batch[place].refused_by = str(error), model
        rest = [answer for place, answer in enumerate(batch) if place not in at_fault]
        if rest:
            yield rest
    else:
        middle = len(batch) // 2
        yield batch[:middle]
        yield batch[middle:]
