"""The shared part of a run: which call is made next, what is known of its searches, and when it stops.

Calls are reserved for all threads of a run at once, so that one transaction serves several.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias
from uuid import UUID

import psycopg

from cdp_platform.enrichment import budget, calls, searches
from cdp_platform.enrichment.budget import OpenSearch
from cdp_platform.enrichment.calls import Call, Hash, Question
from cdp_platform.enrichment.tenant_settings import EnrichmentTenantSettings
from cdp_platform.ops.gate import DAY, HOUR, MINUTE, Breaker, Gate
from cdp_platform.ops.leases import Claim, Connect
from cdp_platform.resources.apollo import Apollo
from cdp_platform.settings import EnrichmentSettings
from cdp_platform.warehouse.statements import statement

THREADS = 4
BREAKER = Breaker(failures=5, first_seconds=300, longest_seconds=300)

OpenClient: TypeAlias = Callable[[], Apollo]
PhoneAddress: TypeAlias = Callable[[str, UUID, str], str]
WhyEnded: TypeAlias = Literal["nothing_to_ask", "limit", "paced", "provider_away", "refused", "failing", "time_over"]


@dataclass
class RunResult:
    """The result of a run.

    Attributes:
        enriched: contacts that got an answer with something in it.
        no_match: contacts of whom the provider knows nothing.
        unusable: contacts that the provider refused to be asked about.
        asked: people who were asked about.
        calls: requests to the provider.
        failed: those of which certainly nothing was done.
        unknown: those whose answer was lost.
        credits: that answers charged.
        cost: of the credits.
        why_ended: the last reason for which something was left to do.
        reason: the same in words, without data of persons.
        ready: searches that became ready.
    """

    enriched: int = 0
    no_match: int = 0
    unusable: int = 0
    asked: int = 0
    calls: int = 0
    failed: int = 0
    unknown: int = 0
    credits: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    why_ended: WhyEnded = "nothing_to_ask"
    reason: str = ""
    ready: int = 0


Progress: TypeAlias = Callable[[RunResult], object]


def gate(
    connection: psycopg.Connection,
    account: str,
    settings: EnrichmentSettings,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Gate:
    """The gate of calls about people, which all tenants with the same account share."""
    limits = {
        MINUTE: settings.apollo_rate_limit_per_minute,
        HOUR: settings.apollo_rate_limit_per_hour,
        DAY: settings.apollo_rate_limit_per_day,
    }
    known = {window: turns for window, turns in limits.items() if turns is not None}
    return Gate(connection, f"apollo {account} bulk_match", known, BREAKER, sleep)


@dataclass
class Run:
    """One run. Its threads share the calls that are reserved, and what is known of searches.

    Attributes:
        claim: what carries the leases of its calls.
        reserving: held by the thread that takes or reserves calls; before any transaction.
        lock: for the result; held for a moment, also inside a transaction.
        reserved: calls that no thread has taken.
        looked_at: searches that have nothing more to ask in this round.
        given_up: searches that are left to a later run.
        stopped: no call begins any more.
    """

    connect: Connect
    connection: psycopg.Connection
    tenant_id: str
    open_client: OpenClient
    settings: EnrichmentSettings
    tenant_settings: EnrichmentTenantSettings
    account: str
    phone_address: PhoneAddress | None
    progress: Progress
    ends_at: float
    claim: Claim = field(init=False)
    result: RunResult = field(default_factory=RunResult)
    reserving: threading.Lock = field(default_factory=threading.Lock)
    lock: threading.Lock = field(default_factory=threading.Lock)
    reserved: deque[Call] = field(default_factory=deque)
    looked_at: set[UUID] = field(default_factory=set)
    given_up: set[UUID] = field(default_factory=set)
    stopped: threading.Event = field(default_factory=threading.Event)
    _client: Apollo | None = None

    def __post_init__(self) -> None:
        self.claim = Claim(self.tenant_id, calls.TABLE, calls.KEY)
        self.limits = budget.Limits.of(self.settings, self.tenant_settings)

    @property
    def client(self) -> Apollo:
        """The provider's client; all threads share it."""
        with self.reserving:
            if self._client is None:
                self._client = self.open_client()
            return self._client

    @property
    def seconds_left(self) -> float:
        """Until no call begins any more."""
        return self.ends_at - time.monotonic()

    def next_call(self, connection: psycopg.Connection) -> Call | None:
        """A call that is reserved; None where the run ends."""
        with self.reserving:
            if self.stopped.is_set():
                return None
            if self.seconds_left <= 0:
                self.stop("time_over", "The time of the run is over.")
                return None
            if not self.reserved and not self.reserve(connection):
                return None
            return self.reserved.popleft()

    def reserve_again(
        self, connection: psycopg.Connection, search: OpenSearch, hashes: Sequence[Hash], *, attempt: int
    ) -> Call | None:
        """Another call for questions of one that failed; None where others ask them now, or a limit is reached."""
        with calls.transaction(connection, self.tenant_id):
            questions = calls.choose(connection, self.tenant_id, search, at_most=len(hashes), among=hashes)
            made = self._reserve_calls(connection, search, questions, attempt=attempt, size=len(hashes))
        return made[0] if made else None

    def note(self, **more: Decimal | int) -> None:
        """Add to the result, and tell of it."""
        with self.lock:
            for name, number in more.items():
                setattr(self.result, name, getattr(self.result, name) + number)
            self.progress(self.result)

    def stop(self, why: WhyEnded, reason: str) -> None:
        """No call begins any more."""
        self._note_end(why, reason)
        self.stopped.set()

    def leave_to_later(self, why: WhyEnded, reason: str, seconds: float) -> None:
        """Stop, and put all searches off, as calls may not be made for so many seconds.

        Contacts of a provider that is away are handed out as they came.
        """
        self.stop(why, reason)
        names = {"tenant": self.tenant_id, "search": None, "reason": reason, "seconds": seconds}
        with self.connect() as connection, calls.transaction(connection, self.tenant_id):
            if why == "provider_away":
                connection.execute(statement("enrichment", "hand_out_originals"), names)
            connection.execute(statement("enrichment", "put_off"), names)

    def give_up(self, connection: psycopg.Connection, search: OpenSearch, reason: str) -> None:
        """Leave a search to a later run, as its calls fail; inside a transaction of `calls.transaction`."""
        self.given_up.add(search.search_id)
        self._put_off(connection, search, "failing", reason, budget.LOOK_AGAIN.total_seconds())

    def fail_search(self, connection: psycopg.Connection, search: OpenSearch, reason: str) -> None:
        """A person has to act before a search can go on, and probably before any other can."""
        self.stop("refused", reason)
        with calls.transaction(connection, self.tenant_id):
            self._fail(connection, search, reason)

    def phone_address_of(self, call: Call) -> str | None:
        """The address that the phones of a call are delivered to; None where none are asked for."""
        if self.phone_address is None or not call.search.phones:
            return None
        return self.phone_address(self.tenant_id, call.call_id, call.secret)

    def _put_off(
        self, connection: psycopg.Connection, search: OpenSearch, why: WhyEnded, reason: str, seconds: float
    ) -> None:
        self._note_end(why, reason)
        self.looked_at.add(search.search_id)
        names = {"tenant": self.tenant_id, "search": search.search_id, "reason": reason, "seconds": seconds}
        connection.execute(statement("enrichment", "put_off"), names)

    def _note_end(self, why: WhyEnded, reason: str) -> None:
        with self.lock:
            self.result.why_ended, self.result.reason = why, reason

    def _fail(self, connection: psycopg.Connection, search: OpenSearch, reason: str) -> None:
        searches.move(connection, self.tenant_id, search.search_id, "enriching", "failed", reason=reason)

    def reserve(self, connection: psycopg.Connection) -> bool:
        """Reserve calls for all threads of the search that was paid first and has something to ask; whether it did."""
        size = self.settings.apollo_max_contacts_per_request
        with calls.transaction(connection, self.tenant_id):
            while search := calls.next_search(connection, self.tenant_id, but=[*self.looked_at]):
                if search.phones and self.phone_address is None:
                    self._fail(
                        connection, search, "Phones are delivered to an address of the web app: set CDP_WEB_URL."
                    )
                    continue
                questions = calls.choose(connection, self.tenant_id, search, at_most=THREADS * size)
                if made := self._reserve_calls(connection, search, questions, attempt=1, size=size):
                    self.reserved.extend(made)
                    return True
                self.looked_at.add(search.search_id)
        return False

    def _reserve_calls(
        self,
        connection: psycopg.Connection,
        search: OpenSearch,
        questions: Sequence[Question],
        *,
        attempt: int,
        size: int,
    ) -> list[Call]:
        if not questions:
            return []
        day = calls.today()
        granted = budget.reserve(connection, self.tenant_id, search, self.limits, day=day, people=len(questions))
        if granted.people == 0:
            self._put_off(connection, search, "limit", granted.reason, granted.seconds)
            return []
        asked = questions[: granted.people]
        made = [Call(search, asked[start : start + size], attempt) for start in range(0, len(asked), size)]
        calls.reserve(connection, self.tenant_id, made, account=self.account, day=day, claim=self.claim)
        return made
