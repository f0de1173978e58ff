"""The life of one call: it is made, answered, made again, or taken apart.

A lost answer is never asked for again here: whatever was charged is found out first (`unknown`). What was certainly not
done is asked again as another call, after a pause of random length; each passes the gate, the budget and the ledger. Of
people whom the provider refuses together the one at fault is found by halves.
"""

import random
import time
from collections.abc import Sequence
from decimal import Decimal
from enum import Enum

import psycopg

from cdp_platform.enrichment import answers, budget, calls, phones
from cdp_platform.enrichment.budget import PERSON_CREDITS, PHONE_CREDITS, OpenSearch
from cdp_platform.enrichment.calls import Call, Hash, Question
from cdp_platform.enrichment.reserving import Run
from cdp_platform.errors import (
    ConfigurationError,
    OutcomeUnknownError,
    PacedError,
    RefusedError,
    SourceError,
    UnavailableError,
)
from cdp_platform.ops.gate import Gate
from cdp_platform.resources.apollo import ContradictoryAnswerError
from cdp_platform.resources.apollo_answers import BulkAnswer
from cdp_platform.warehouse.connection import tenant_transaction

ATTEMPTS = 4
# The longest pause before the second attempt; it doubles with each.
_PAUSE_SECONDS = 1.0


class Ended(Enum):
    """How a call ended: about everybody who was to be asked about, refused, or otherwise."""

    ANSWERED = "answered"
    REFUSED = "refused"
    OTHERWISE = "otherwise"


class _NotSentError(Exception):
    """The gate let nobody through."""

    def __init__(self, error: PacedError | UnavailableError) -> None:
        super().__init__(str(error))
        self.seconds = error.retry_after_seconds or 0.0
        self.is_away = isinstance(error, UnavailableError)


class _NobodyLeftError(Exception):
    """Everybody was erased, or the call is another worker's."""


class Worker:
    """One thread of a run.

    Attributes:
        run: that it belongs to.
        connection: for its transactions.
        gate: of the provider's account, on a connection of its own.
    """

    def __init__(self, run: Run, connection: psycopg.Connection, gate: Gate) -> None:
        self.run = run
        self.connection = connection
        self.gate = gate

    def ask_all(self) -> None:
        """Make calls until none is left."""
        while call := self.run.next_call(self.connection):
            if self.ask(call) is Ended.REFUSED:
                self.take_apart(call.search, call.hashes)

    def ask(self, call: Call) -> Ended:
        """Make a call, and again while certainly nothing was done."""
        going: Call | None = call
        while going is not None:
            try:
                return self._make(going)
            except _NobodyLeftError:
                self._fail(going, "nobody is left to ask about")
            except _NotSentError as error:
                self._fail(going, f"not sent: {error}")
                self.run.leave_to_later("provider_away" if error.is_away else "paced", str(error), error.seconds)
            except (PacedError, UnavailableError) as error:
                self._fail(going, str(error))
                going = self._another(going, error)
                continue
            except RefusedError as error:
                self._fail(going, f"refused: {error}")
                return Ended.REFUSED
            except ConfigurationError as error:
                self._fail(going, str(error))
                self.run.fail_search(self.connection, going.search, str(error))
            return Ended.OTHERWISE
        return Ended.OTHERWISE

    def take_apart(self, search: OpenSearch, hashes: Sequence[Hash]) -> None:
        """Find whom the provider refuses, among people whom it refused together.

        Where it takes one half, the other one is not asked about as a whole: it would be refused.
        """
        if len(hashes) == 1:
            with calls.transaction(self.connection, self.run.tenant_id):
                refused = answers.refuse(
                    self.connection, self.run.tenant_id, hashes[0], "the provider takes no question about this contact"
                )
            self.run.note(unusable=refused)
            return
        first, second = hashes[: len(hashes) // 2], hashes[len(hashes) // 2 :]
        ended = self._ask_some(search, first)
        if ended is Ended.REFUSED:
            self.take_apart(search, first)
        if ended is Ended.ANSWERED or self._ask_some(search, second) is Ended.REFUSED:
            self.take_apart(search, second)

    def _ask_some(self, search: OpenSearch, hashes: Sequence[Hash]) -> Ended:
        if self.run.stopped.is_set():
            return Ended.OTHERWISE
        call = self.run.reserve_again(self.connection, search, hashes, attempt=1)
        if call is None:
            return Ended.OTHERWISE
        ended = self.ask(call)
        # An answer about some says nothing about the others.
        return Ended.OTHERWISE if ended is Ended.ANSWERED and len(call.questions) < len(hashes) else ended

    def _make(self, call: Call) -> Ended:
        run, sent = self.run, False
        try:
            with self.gate.turn(wait_seconds=max(0.0, run.seconds_left)) as turn:
                with tenant_transaction(self.connection, run.tenant_id):
                    asked = calls.hand_over(self.connection, run.tenant_id, call, run.claim)
                if not asked:
                    raise _NobodyLeftError
                sent = True
                run.note(calls=1, asked=len(asked))
                answer = run.client.bulk_match(
                    [question.fields for question in asked],
                    personal_emails=call.search.personal_emails,
                    phones=call.search.phones,
                    webhook_url=run.phone_address_of(call),
                )
                turn.tighten(answer.left)
        except (PacedError, UnavailableError) as error:
            if sent:
                raise
            raise _NotSentError(error) from error
        except ContradictoryAnswerError as error:
            self._refuse_answer(call, error)
            return Ended.OTHERWISE
        except OutcomeUnknownError as error:
            with calls.transaction(self.connection, run.tenant_id):
                calls.lose(self.connection, run.tenant_id, call.call_id, str(error))
            run.note(unknown=1)
            return Ended.OTHERWISE
        self._settle(call, asked, answer)
        return Ended.ANSWERED if len(asked) == len(call.questions) else Ended.OTHERWISE

    def _settle(self, call: Call, asked: Sequence[Question], answer: BulkAnswer) -> None:
        tenant_id = self.run.tenant_id
        people = list(zip(asked, answer.people, strict=True))
        found = sum(person is not None for person in answer.people)
        # The provider charges this later, or did not say it.
        still = found * (PHONE_CREDITS * (answer.phones == "pending") + PERSON_CREDITS * (answer.credits is None))
        with calls.transaction(self.connection, tenant_id):
            if calls.settle(
                self.connection,
                tenant_id,
                call.call_id,
                "confirmed",
                request_id=answer.request_id,
                phones_state=answer.phones,
            ):
                budget.book(self.connection, tenant_id, call.call_id, more=answer.credits, still_reserved=still)
            answers.write(self.connection, tenant_id, call.call_id, people, self.run.tenant_settings)
            if call.search.phones:
                phones.apply_waiting(self.connection, tenant_id, call.call_id)
            delivered = answers.deliver(self.connection, tenant_id, among=call.hashes)
        charged = answer.credits or Decimal(0)
        self.run.note(**delivered, credits=charged, cost=charged * call.search.credit_price)

    def _refuse_answer(self, call: Call, error: ContradictoryAnswerError) -> None:
        """The answer is about others: it is charged for certain, if it says how much, and nobody gets it."""
        tenant_id = self.run.tenant_id
        with calls.transaction(self.connection, tenant_id):
            if error.credits is None:
                calls.lose(self.connection, tenant_id, call.call_id, str(error), request_id=error.request_id)
            elif calls.settle(
                self.connection, tenant_id, call.call_id, "confirmed", reason=calls.LOST, request_id=error.request_id
            ):
                budget.book(self.connection, tenant_id, call.call_id, more=error.credits, still_reserved=Decimal(0))
                calls.hold_contacts(self.connection, tenant_id, call.call_id)
        charged = error.credits or Decimal(0)
        self.run.note(unknown=1, credits=charged, cost=charged * call.search.credit_price)

    def _fail(self, call: Call, reason: str) -> None:
        with calls.transaction(self.connection, self.run.tenant_id):
            calls.fail(self.connection, self.run.tenant_id, call.call_id, reason)
        self.run.note(failed=1)

    def _another(self, call: Call, error: SourceError) -> Call | None:
        """The next attempt, after a pause; None where there is none."""
        if call.attempt >= ATTEMPTS:
            with calls.transaction(self.connection, self.run.tenant_id):
                self.run.give_up(self.connection, call.search, str(error))
            return None
        longest = _PAUSE_SECONDS * 2 ** (call.attempt - 1)
        time.sleep(min(random.uniform(0, longest), max(0.0, self.run.seconds_left)))  # noqa: S311 (no secret)
        if self.run.stopped.is_set() or self.run.seconds_left <= 0:
            return None
        return self.run.reserve_again(self.connection, call.search, call.hashes, attempt=call.attempt + 1)
