"""Calling the providers of models, as they let themselves be called.

A refused batch is split until the text is found that is at fault; a provider that asks for patience gets it; one that
is away, or needs a person, is not called again.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cdp_platform.embeddings import models, usage
from cdp_platform.embeddings.leases import Connect
from cdp_platform.embeddings.models import Model
from cdp_platform.embeddings.providers import (
    PacedError,
    Provider,
    ProviderUnavailableError,
    ProviderUnusableError,
    RefusedTextError,
)
from cdp_platform.embeddings.settlement import Answer
from cdp_platform.embeddings.usage import Spent

if TYPE_CHECKING:
    import numpy as np

# A longer pause is not sat through: a later run goes on.
_LONGEST_NAP_SECONDS = 60.0
_SHORTEST_NAP_SECONDS = 0.1


class _NotNowError(Exception):
    """The provider of a model cannot be called at this moment; why is noted."""


class Calls:
    """The providers of one run.

    Attributes:
        away: models that are not called any more, and why.
        paused: models whose pause is longer than the run waits for, and until when, in words.
    """

    def __init__(self, connect: Connect, open_provider: Callable[[Model], Provider], *, seconds: float) -> None:
        self._connect = connect
        self._open_provider = open_provider
        self._providers: dict[int, Provider] = {}
        self._ends_at = time.monotonic() + seconds
        # Models that have answered since their last pause.
        self._answered: set[int] = set()
        self.away: dict[int, Exception] = {}
        self.paused: dict[int, str] = {}

    def are_over(self) -> bool:
        """Whether the time of the run is over."""
        return time.monotonic() >= self._ends_at

    def may_go_to(self, model: Model) -> bool:
        """Whether the model's provider can be called in this run."""
        return model.model_id not in self.away and model.model_id not in self.paused

    def begin(self, model: Model) -> None:
        """Look at a model before the first call. While it is paused, the run does without it."""
        if model.pause_seconds > 0:
            self._leave_paused(model, model.pause_seconds)

    def embed(self, model: Model, answers: Sequence[Answer], spent: Spent) -> None:
        """Fill in the vectors of one model, or its refusals; what can be had neither of now is left as it is."""
        batches = deque([answers])
        while batches:
            batch = batches.popleft()
            try:
                vectors = self._call(model, batch, spent)
            except _NotNowError:
                return
            except RefusedTextError as error:
                batches.extendleft(reversed([*_split(batch, error)]))
            else:
                for answer, vector in zip(batch, vectors, strict=True):
                    answer.vectors[model.model_id] = vector

    def _call(self, model: Model, batch: Sequence[Answer], spent: Spent) -> "np.ndarray":
        """The vectors of one batch, after a nap if the provider asked for one."""
        contents = [answer.text.content[: model.max_characters] for answer in batch]
        estimate = sum(map(usage.estimate, contents)) if model.price_per_million_tokens else 0
        # Another worker may have been asked for patience.
        nap = model.pause_seconds
        while True:
            self._nap(model, nap)
            if self.are_over() or not self.may_go_to(model):
                raise _NotNowError
            spent.calls += 1
            try:
                embedded = self._provider(model).embed(contents, purpose="document")
            except PacedError as error:
                self._pause(model, error.retry_after_seconds, error)
                nap = max(error.retry_after_seconds, _SHORTEST_NAP_SECONDS)
            except ProviderUnavailableError as error:
                # It may have done the work, and charge for it.
                spent.tokens += estimate
                self._pause(model, error.retry_after_seconds, error)
                self.away[model.model_id] = error
                raise _NotNowError from error
            except ProviderUnusableError as error:
                self.away[model.model_id] = error
                raise _NotNowError from error
            else:
                break
        if model.model_id not in self._answered:
            self._answered.add(model.model_id)
            with self._connect() as connection:
                models.resume(connection, model.model_id)
        spent.texts += len(batch)
        spent.tokens += embedded.tokens or estimate
        return embedded.vectors

    def _provider(self, model: Model) -> Provider:
        if model.model_id not in self._providers:
            self._providers[model.model_id] = self._open_provider(model)
        return self._providers[model.model_id]

    def _pause(self, model: Model, seconds: float | None, error: Exception) -> None:
        """Tell everybody that the provider is not to be called for a while."""
        self._answered.discard(model.model_id)
        with self._connect() as connection:
            models.pause(connection, model.model_id, seconds, str(error))

    def _leave_paused(self, model: Model, seconds: float) -> None:
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        self.paused[model.model_id] = f"{model.label} is paused until {until:%H:%M:%S} UTC"

    def _nap(self, model: Model, seconds: float) -> None:
        if seconds <= 0:
            return
        if seconds > _LONGEST_NAP_SECONDS or time.monotonic() + seconds >= self._ends_at:
            self._leave_paused(model, seconds)
        else:
            time.sleep(seconds)


def _split(batch: Sequence[Answer], error: RefusedTextError) -> Iterator[Sequence[Answer]]:
    """What to send instead of a refused batch; a text that is known to be at fault is refused for good."""
    at_fault = set(error.indexes) or ({0} if len(batch) == 1 else set())
    if at_fault:
        for place in at_fault:
            batch[place].refusal = str(error)
        rest = [answer for place, answer in enumerate(batch) if place not in at_fault]
        if rest:
            yield rest
    else:
        middle = len(batch) // 2
        yield batch[:middle]
        yield batch[middle:]
