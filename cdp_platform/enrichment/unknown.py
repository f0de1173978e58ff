"""Settling calls of which nobody knows whether they were charged, since their answer was lost.

The provider knows no key by which it would recognize a repeated request, so evidence comes first: the account's counter
(`account`), or that phones of the very call were delivered. What is left is held and reported, until evidence or a
person settles it. Where ``ENRICHMENT_UNKNOWN`` is ``ask-again``, people are
asked about again as soon as evidence cannot be had, and the next call is counted as one that may be charged twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from cdp_platform.enrichment import account, budget, calls
from cdp_platform.enrichment.account import Movement, Silent
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops.leases import Connect
from cdp_platform.resources.apollo import Apollo, account_of
from cdp_platform.settings import EnrichmentSettings
from cdp_platform.warehouse.statements import statement

Decision: TypeAlias = Literal["charged", "not_charged", "ask_again"]

# Where people are asked about again, evidence that may still come is waited for so long.
_PATIENCE_SECONDS = 3600.0
_OTHER_KEY = Silent("they were made with another key", is_for_now=False)


@dataclass
class Settled:
    """The result for one tenant, in calls.

    Attributes:
        charged: calls that were charged, and whose answers are lost: their contacts stay held.
        not_charged: calls that cost nothing: their people are asked about again.
        counted: calls that were answered without saying what they cost, which is known now.
        asked_again: calls whose people are asked about again although nobody knows what happened.
        left: calls that stay unknown.
        reason: why the counter did not settle those; '' where none is left.
    """

    charged: int = 0
    not_charged: int = 0
    counted: int = 0
    asked_again: int = 0
    left: int = 0
    reason: str = ""


@dataclass(frozen=True)
class _Call:
    call_id: UUID
    account: str
    state: Literal["unknown", "confirmed"]
    credits: Decimal | None
    credits_reserved: Decimal
    phones_state: str
    age_seconds: float
    delivered: dict[str, Any] | None
    is_asked: bool


def settle(connect: Connect, tenant_id: str, client: Apollo, settings: EnrichmentSettings) -> Settled:
    """Settle what can be settled now.

    Args:
        connect: opens a connection as the platform's role.
        tenant_id: whose calls.
        client: of the provider's account.
        settings: with the key of that account, and what becomes of what stays unknown.
    """
    result = Settled()
    own = account_of(settings.apollo_api_key.get_secret_value())
    with connect() as connection:
        with calls.transaction(connection, tenant_id):
            calls.end_leases(connection, tenant_id)
            doubtful = list(_doubtful(connection, tenant_id))
        if not doubtful:
            return result
        moved: Movement | Silent = _OTHER_KEY
        if any(call.account == own and call.credits is None for call in doubtful):
            moved = account.movement(connection, own, client)
        looked_at = {call.call_id for call in doubtful}
        with calls.transaction(connection, tenant_id):
            # Another process may have settled some meanwhile.
            for call in [each for each in _doubtful(connection, tenant_id) if each.call_id in looked_at]:
                evidence = moved if call.account == own else _OTHER_KEY
                if call.credits is None and _settle(connection, tenant_id, call, evidence, result):
                    pass
                elif settings.enrichment_unknown == "ask-again" and _is_hopeless(call, evidence):
                    calls.free_questions(connection, tenant_id, call.call_id)
                    result.asked_again += 1
                # Also contacts that came since, and wait for the same answer.
                calls.hold_contacts(connection, tenant_id, call.call_id)
            row = connection.execute(statement("enrichment", "unknown_left"), [tenant_id]).fetchone()
            result.left = row[0] if row else 0
            result.reason = _why(moved) if result.left else ""
            connection.execute(statement("enrichment", "go_on"), [tenant_id])
    return result


def resolve(
    connection: psycopg.Connection,
    tenant_id: str,
    call_id: UUID,
    decision: Decision,
    *,
    charged: Decimal | None = None,
) -> None:
    """Let a person decide about a call whose contacts are held, in one transaction.

    - ``charged``: the provider's invoice says so. The call costs ``charged``, and its contacts are ``unusable``.
    - ``not_charged``: the call has failed, and its people are asked about again.
    - ``ask_again``: its people are asked about again, and it stays unknown whether they are paid for twice.

    Args:
        connection: outside any transaction.
        tenant_id: whose call.
        call_id: of the call.
        decision: see above.
        charged: the credits that it was charged; needed for ``charged`` while that is unknown.

    Raises:
        ConfigurationError: there is nothing to decide, or not like that; says why. Nothing was changed.
    """
    with calls.transaction(connection, tenant_id):
        row = connection.execute(statement("enrichment", "call_to_resolve"), [tenant_id, call_id]).fetchone()
        if row is None:
            raise ConfigurationError(
                f"No contacts of tenant {tenant_id} are held for the call {call_id}. `cdp enrichment report` lists the "
                "calls that are unknown."
            )
        state, known = row
        if decision == "not_charged" and state == "confirmed":
            raise ConfigurationError(
                f"The call {call_id} was charged {known} credits, as the provider's own counter or answer says. Give "
                "--charged or --ask-again."
            )
        match decision:
            case "charged":
                if state == "unknown":
                    if charged is None:
                        raise ConfigurationError(f"Give the credits that the call {call_id} was charged.")
                    _confirm_lost(connection, tenant_id, call_id, charged)
                connection.execute(statement("enrichment", "give_up_held"), {"tenant": tenant_id, "call": call_id})
                calls.free_questions(connection, tenant_id, call_id)
            case "not_charged":
                calls.fail(connection, tenant_id, call_id, "not charged, as a person says")
            case "ask_again":
                calls.free_questions(connection, tenant_id, call_id)
        connection.execute(statement("enrichment", "go_on"), [tenant_id])


def _doubtful(connection: psycopg.Connection, tenant_id: str) -> Iterator[_Call]:
    with connection.cursor(row_factory=class_row(_Call)) as cursor:
        yield from cursor.execute(statement("enrichment", "doubtful_calls"), [tenant_id])


def _settle(
    connection: psycopg.Connection, tenant_id: str, call: _Call, moved: Movement | Silent, result: Settled
) -> bool:
    """Write down what evidence says that a call cost; whether there is any."""
    cost = None
    if isinstance(moved, Movement):
        # Others who use the account may have been charged more than this call can cost.
        alone = moved.unknown == 1 and moved.phones_pending == 0
        if moved.excess == 0 or (alone and 0 < moved.excess <= call.credits_reserved):
            cost = moved.excess
    if call.state == "unknown" and cost is None and call.delivered is not None:
        # Less than the truth, as its people cost something too. So a counter that shows no more than the ledger still
        # proves that other calls cost nothing.
        cost = Decimal(call.delivered["credits"])
    elif call.state == "unknown" and cost == 0:
        connection.execute(statement("enrichment", "forget_delivery"), [tenant_id, call.call_id])
        calls.fail(connection, tenant_id, call.call_id, "not charged, as the account's counter says")
        result.not_charged += 1
        return True
    if cost is None:
        return False
    if call.state == "unknown":
        _confirm_lost(connection, tenant_id, call.call_id, cost)
        result.charged += 1
    else:
        still = call.credits_reserved if call.phones_state == "pending" else Decimal(0)
        budget.book(connection, tenant_id, call.call_id, more=cost, still_reserved=still)
        result.counted += 1
    return True


def _confirm_lost(connection: psycopg.Connection, tenant_id: str, call_id: UUID, cost: Decimal) -> None:
    """An unknown call was charged; its answer stays lost."""
    connection.execute(statement("enrichment", "forget_delivery"), [tenant_id, call_id])
    calls.settle(connection, tenant_id, call_id, "confirmed", before=["unknown"], reason=calls.LOST)
    budget.book(connection, tenant_id, call_id, more=cost, still_reserved=Decimal(0))


def _is_hopeless(call: _Call, moved: Movement | Silent) -> bool:
    """Whether no evidence is to be expected about a call whose questions are still its own."""
    waits = isinstance(moved, Silent) and moved.is_for_now and call.age_seconds < _PATIENCE_SECONDS
    return call.state == "unknown" and call.is_asked and not waits


def _why(moved: Movement | Silent) -> str:
    if isinstance(moved, Silent):
        return moved.reason
    return (
        f"the account's counter moved by {moved.excess} credits more than the ledger knows; the credits of "
        f"{moved.unknown} calls are unknown, and {moved.phones_pending} await phones"
    )
