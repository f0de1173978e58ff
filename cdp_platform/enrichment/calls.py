"""The ledger of paid calls: each is written down with its credits before it is made, and booked as it ends.

Grain of ``enrichment.provider_call``: one row per attempt to ask the provider about a batch. All functions work inside
a transaction of the tenant that has called `begin`, so that limits hold and nobody asks a question that is asked.
"""

import hashlib
import secrets
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from cdp_platform.enrichment import budget
from cdp_platform.enrichment.budget import OpenSearch
from cdp_platform.ops import erasure, locks
from cdp_platform.ops.effects import UNRESOLVED, State
from cdp_platform.ops.leases import Claim
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

PROVIDER = "apollo"
LOST = "charged, and the answer was lost"
"""The reason of a call whose credits are known and whose answer nobody gets."""
TABLE, KEY = "enrichment.provider_call", "call_id"
# So many contacts are looked at for each question that is wanted, as equal ones are one question.
_CONTACTS_PER_QUESTION = 10

Hash: TypeAlias = bytes


@dataclass(frozen=True)
class Question:
    """A question that nobody has asked.

    Attributes:
        hash: as in the contacts.
        fields: what the provider is asked with.
        was_lost: whether an earlier answer to it was lost, so that it may be charged twice.
    """

    hash: Hash
    fields: Mapping[str, str]
    was_lost: bool = False


@dataclass(frozen=True)
class Call:
    """A call that is reserved.

    Attributes:
        search: whose limits it counts for.
        questions: in the order of the request.
        attempt: from 1.
        call_id: of the row.
        secret: in the address that its phones are delivered to; the ledger keeps its hash.
    """

    search: OpenSearch
    questions: Sequence[Question]
    attempt: int = 1
    call_id: UUID = field(default_factory=uuid4)
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def hashes(self) -> list[Hash]:
        """The hashes of the questions."""
        return [question.hash for question in self.questions]


@contextmanager
def transaction(connection: psycopg.Connection, tenant_id: str) -> Generator[None]:
    """A transaction of the tenant in which calls are reserved or settled; one at a time."""
    with tenant_transaction(connection, tenant_id):
        locks.take(connection, locks.enrichment(tenant_id))
        erasure.while_nobody_is_erased(connection, tenant_id)
        yield


def secret_hash(secret: str) -> bytes:
    """SHA-256 of the secret in the address for a call's phones."""
    return hashlib.sha256(secret.encode()).digest()


def next_search(connection: psycopg.Connection, tenant_id: str, *, but: Sequence[UUID] = ()) -> OpenSearch | None:
    """The search under way that was paid first, of those with open contacts that are not left out."""
    with connection.cursor(row_factory=class_row(OpenSearch)) as cursor:
        query = statement("enrichment", "next_search")
        return cursor.execute(query, {"tenant": tenant_id, "done": list(but)}).fetchone()


def choose(
    connection: psycopg.Connection,
    tenant_id: str,
    search: OpenSearch,
    *,
    at_most: int,
    among: Sequence[Hash] | None = None,
) -> list[Question]:
    """Questions of a search that have no fresh answer and that nobody asks now, in the order of its contacts.

    Args:
        connection: see the module.
        tenant_id: whose.
        search: whose contacts.
        at_most: number of questions.
        among: only these.
    """
    chosen = sql.SQL("" if among is None else "AND question_hash = ANY (%(among)s)")
    rows = connection.execute(
        statement("enrichment", "choose_questions").format(among=chosen),
        {
            "tenant": tenant_id,
            "provider": PROVIDER,
            "search": search.search_id,
            "personal_emails": search.personal_emails,
            "phones": search.phones,
            "window": _CONTACTS_PER_QUESTION * at_most,
            "among": among,
            "lost": LOST,
        },
    ).fetchall()
    rows.sort(key=lambda row: row[2])
    return [Question(digest, fields, was_lost) for digest, fields, _, was_lost in rows[:at_most]]


def reserve(
    connection: psycopg.Connection, tenant_id: str, calls: Sequence[Call], *, account: str, day: date, claim: Claim
) -> None:
    """Write calls of one search and attempt down, for a worker that has reserved their money.

    Args:
        connection: see the module.
        tenant_id: whose.
        calls: at least one.
        account: the provider's, as a hash.
        day: whose spend has the money.
        claim: of the worker.
    """
    search = calls[0].search
    asked = [(call, place, each) for call in calls for place, each in enumerate(call.questions, start=1)]
    connection.execute(
        statement("enrichment", "reserve_calls"),
        {
            "tenant": tenant_id,
            "provider": PROVIDER,
            "account": account,
            "search": search.search_id,
            "personal_emails": search.personal_emails,
            "phones": search.phones,
            "attempt": calls[0].attempt,
            "day": day,
            "each": budget.worst_case(search.phones),
            "claim": claim.claim_id,
            "lease_seconds": claim.seconds,
            "calls": [call.call_id for call in calls],
            "people": [len(call.questions) for call in calls],
            "doubles": [any(question.was_lost for question in call.questions) for call in calls],
            "secrets": [secret_hash(call.secret) if search.phones else None for call in calls],
            "call_of": [call.call_id for call, _, _ in asked],
            "places": [place for _, place, _ in asked],
            "hashes": [question.hash for _, _, question in asked],
            "emails": [question.fields.get("email", "").lower() or None for _, _, question in asked],
        },
    )


def hand_over(connection: psycopg.Connection, tenant_id: str, call: Call, claim: Claim) -> list[Question]:
    """From now on the provider may act. Commit it before the request; a transaction of the tenant is enough.

    Returns:
        Whom to ask about, without those who were erased meanwhile. Nobody where the call is another worker's now, or
        nobody is left: do not call.
    """
    values = {"tenant": tenant_id, "call": call.call_id, "claim": claim.claim_id}
    left = {digest for (digest,) in connection.execute(statement("enrichment", "hand_over_call"), values)}
    return [question for question in call.questions if question.hash in left]


def settle(
    connection: psycopg.Connection,
    tenant_id: str,
    call_id: UUID,
    state: State,
    *,
    before: Sequence[State] = UNRESOLVED,
    reason: str | None = None,
    request_id: int | None = None,
    phones_state: str | None = None,
) -> bool:
    """Write down how a call ended; its money is booked by `budget.book`.

    Args:
        connection: see the module.
        tenant_id: whose.
        call_id: of the call.
        state: that it has from now on.
        before: the states in which it is changed.
        reason: why, without data of persons.
        request_id: the provider's; None: as before.
        phones_state: of its phones; None: as before.

    Returns:
        Whether it was in such a state.

    Raises:
        psycopg.errors.CheckViolation: there is no such move.
    """
    values = {
        "tenant": tenant_id,
        "call": call_id,
        "state": state,
        "before": list(before),
        "reason": reason,
        "request_id": request_id,
        "phones_state": phones_state,
    }
    return connection.execute(statement("enrichment", "settle_call"), values).rowcount == 1


def fail(connection: psycopg.Connection, tenant_id: str, call_id: UUID, reason: str) -> bool:
    """Nothing was done and nothing is charged: its questions may be asked again; False where the call is settled."""
    if not settle(connection, tenant_id, call_id, "failed", reason=reason):
        return False
    budget.book(connection, tenant_id, call_id, more=Decimal(0), still_reserved=Decimal(0))
    free_questions(connection, tenant_id, call_id)
    return True


def free_questions(connection: psycopg.Connection, tenant_id: str, call_id: UUID) -> None:
    """Let questions that a call has not answered be asked again; contacts that were held for it wait."""
    connection.execute(statement("enrichment", "free_questions"), {"tenant": tenant_id, "call": call_id})


def lose(
    connection: psycopg.Connection, tenant_id: str, call_id: UUID, reason: str, *, request_id: int | None = None
) -> bool:
    """The answer of a call was lost: nobody asks its questions, its credits stay reserved, and contacts are held.

    Returns:
        Whether it was handed over.
    """
    lost = settle(
        connection, tenant_id, call_id, "unknown", before=["handed_over"], reason=reason, request_id=request_id
    )
    if lost:
        hold_contacts(connection, tenant_id, call_id)
    return lost


def hold_contacts(connection: psycopg.Connection, tenant_id: str, call_id: UUID) -> None:
    """Hold the contacts of all searches that wait for the answer of a call, which was lost."""
    connection.execute(statement("enrichment", "hold_contacts"), {"tenant": tenant_id, "call": call_id})


def end_leases(connection: psycopg.Connection, tenant_id: str) -> int:
    """Settle calls of workers that vanished: what was not handed over has failed, and the rest is unknown."""
    rows = connection.execute(statement("enrichment", "ended_leases"), {"tenant": tenant_id}).fetchall()
    for call_id, state in rows:
        if state == "reserved":
            fail(connection, tenant_id, call_id, "not sent: the worker vanished")
        else:
            lose(connection, tenant_id, call_id, "the worker vanished")
    return len(rows)


def today() -> date:
    """The day (UTC) whose spend has what is reserved now."""
    return datetime.now(UTC).date()
