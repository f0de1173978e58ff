"""Payments: the right one starts its search, once, and every event is kept with what it did.

Events come several times, at once and in any order. A transaction that takes one has the lock `locks.payments`, and
an event whose id is known changes nothing.

A payment that does not fit its search, or comes when the search is paid already, is ``refused``: it changes nothing,
and a person gives the money back or looks what went wrong (`open_refusals`). A full refund takes the search back to
``preview`` while no run has taken it up; later, refunds are only noted.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal, TypeAlias
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from cdp_platform.enrichment import searches
from cdp_platform.enrichment.stripe_events import PaymentEvent
from cdp_platform.ops import locks, tenants
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

Outcome: TypeAlias = Literal["paid", "refunded", "noted", "refused"]

# Stripe keeps this of a card payment in US dollars (https://stripe.com/pricing). Events do not say what it kept.
_FEE_SHARE, _FEE_FIXED = Decimal("0.029"), Decimal("0.30")
_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Taken:
    """The effect of an event.

    Attributes:
        outcome: as in ``enrichment.payment_event``.
        reason: why; empty for ``paid`` and ``refunded``.
        known: whether the event had been taken before; outcome and reason are those of then.
    """

    outcome: Outcome
    reason: str
    known: bool = False


@dataclass(frozen=True)
class Refusal:
    """A payment that was refused and not given back since: a row of ``enrichment.payment_event``."""

    event_id: str
    search_id: UUID | None
    payment_intent: str | None
    amount: Decimal | None
    currency: str | None
    reason: str
    received_at: datetime


def take(connection: psycopg.Connection, tenant_id: str, event: PaymentEvent) -> Taken:
    """Take an event that was delivered for this tenant: move its search, and keep what was done.

    Args:
        connection: outside of a transaction.
        tenant_id: the tenant that the address of the delivery names.
        event: the event.

    Raises:
        UnknownTenantError: no such tenant.
        BusyError: other payments of the tenant took too long; nothing was done.
    """
    tenants.get(connection, tenant_id)
    with tenant_transaction(connection, tenant_id):
        locks.take(connection, locks.payments(tenant_id))
        known = connection.execute(
            "SELECT outcome, coalesce(reason, '') FROM enrichment.payment_event WHERE tenant_id = %s AND event_id = %s",
            [tenant_id, event.event_id],
        ).fetchone()
        if known is not None:
            return Taken(*known, known=True)
        search_id, payment_id = event.search_id, event.payment_id
        if event.said in {"paid", "nothing owed"}:
            taken = _pay(connection, tenant_id, event)
        elif event.said == "refunded":
            taken, search_id, payment_id = _refund(connection, tenant_id, event)
        else:
            taken = Taken("noted", _NOTED[event.said])
        connection.execute(
            statement("enrichment", "keep_payment_event"),
            {
                "tenant": tenant_id,
                "event": event.event_id,
                "type": event.type,
                "search": search_id,
                "payment": payment_id,
                "amount": event.amount,
                "currency": event.currency,
                "outcome": taken.outcome,
                "reason": taken.reason,
                "happened_at": event.happened_at,
            },
        )
        return taken


def open_refusals(connection: psycopg.Connection, tenant_id: str) -> list[Refusal]:
    """Payments that a person has to look at: refused, and not given back since. The oldest come first."""
    with tenant_transaction(connection, tenant_id), connection.cursor(row_factory=class_row(Refusal)) as cursor:
        return cursor.execute(statement("enrichment", "open_refusals"), {"tenant": tenant_id}).fetchall()


_NOTED = {
    "pending": "The checkout is complete, and its payment has not arrived yet.",
    "failed": "The payment failed; the search stays as it is.",
    "partly refunded": "Only a part was given back, which changes nothing.",
}


def _pay(connection: psycopg.Connection, tenant_id: str, event: PaymentEvent) -> Taken:
    found = connection.execute(
        statement("enrichment", "search_to_pay"),
        {"tenant": tenant_id, "search": event.search_id, "payment": event.payment_id, "amount": event.amount},
    ).fetchone()
    if event.tenant_id != tenant_id or event.search_id is None or found is None:
        return Taken("refused", "Its metadata do not name the tenant of its address and a search of that tenant.")
    price, currency, is_known, is_refunded = found
    misfit = _misfit(event, price, currency)
    if misfit:
        return Taken("refused", misfit)
    if is_refunded:
        return Taken("noted", "The payment was given back before this event came.")
    if is_known:
        return Taken("noted", "The search is paid by this very payment.")
    if not searches.move(connection, tenant_id, event.search_id, "preview", "paid"):
        return Taken("refused", "The search was paid before, by another payment. Give the money back.")
    # Stripe keeps its fee of a payment that is given back, so another payment adds its own.
    connection.execute(
        "UPDATE enrichment.search SET payment_fee = payment_fee + %s WHERE tenant_id = %s AND search_id = %s",
        [_fee(price, currency), tenant_id, event.search_id],
    )
    return Taken("paid", "")


def _misfit(event: PaymentEvent, price: Decimal, currency: str) -> str:
    """Why a payment is not that of a search with this price; empty if it is."""
    if event.amount is None:
        return f"It names no amount in a currency that is known, and the price is {price} {currency}."
    if (event.amount, event.currency) != (price, currency):
        return f"It is {event.amount} {event.currency}, and the price is {price} {currency}."
    if event.said == "nothing owed" and price > 0:
        return "The checkout ended without a payment, and the search has a price."
    return ""


def _refund(
    connection: psycopg.Connection, tenant_id: str, event: PaymentEvent
) -> tuple[Taken, UUID | None, str | None]:
    """The effect of a full refund, and its search and payment."""
    found = connection.execute(
        statement("enrichment", "payment_to_refund"),
        {"tenant": tenant_id, "payment": event.payment_id, "search": event.search_id},
    ).fetchone()
    if found is None:
        return Taken("noted", "No search stands paid by this payment."), event.search_id, event.payment_id
    search_id, payment_id, is_untouched = found
    why = "Its payment was given back."
    if is_untouched and searches.move(connection, tenant_id, search_id, "paid", "preview", reason=why):
        return Taken("refunded", ""), search_id, payment_id
    return Taken("noted", "Work had begun when the payment was given back."), search_id, payment_id


def _fee(price: Decimal, currency: str) -> Decimal:
    """An estimate of what Stripe keeps of a payment; 0 in currencies other than US dollars, where it depends."""
    if currency != "USD" or price == 0:
        return Decimal(0)
    return (price * _FEE_SHARE + _FEE_FIXED).quantize(_CENT, ROUND_HALF_UP)
