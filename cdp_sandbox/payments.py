"""Stand-in for Stripe, as far as it tells of payments: events in its shapes, signed as it signs them, and delivered.

Stripe posts an event to a webhook as JSON. `Stripe-Signature: t=UNIX,v1=HEX` has the second when it was signed, and
the HMAC-SHA256, under the webhook's secret, of that second, a dot and the bytes of the body.

Amounts are whole numbers of the currency's smallest unit, as Stripe counts: 299 is 2.99 US dollars.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

PAID, UNPAID, SETTLED, FAILED, REFUNDED = "paid", "unpaid", "settled", "failed", "refunded"
TYPES = {
    PAID: "checkout.session.completed",
    UNPAID: "checkout.session.completed",
    SETTLED: "checkout.session.async_payment_succeeded",
    FAILED: "checkout.session.async_payment_failed",
    REFUNDED: "charge.refunded",
}
"""Stripe's types of events by what they say of a payment. One that is `unpaid` at first is `settled` or `failed` days
later."""

_SECONDS = 30


def event(
    kind: str,
    *,
    tenant: str,
    search: str,
    amount: int = 299,
    currency: str = "usd",
    refunded: int | None = None,
    event_id: str = "",
    payment: str = "",
) -> dict[str, Any]:
    """Make an event.

    Args:
        kind: A key of `TYPES`.
        tenant: The tenant that the payment names in its metadata.
        search: The search that was paid for, in the metadata as well.
        amount: The amount of the payment.
        currency: ISO 4217 code in small letters, as Stripe writes it.
        refunded: How much of it was given back by now; all of it if None.
        event_id: The event's id; another one each time if empty.
        payment: Whatever tells this payment from others. All events of a payment name the same session, payment intent
            and charge. By default there is one payment of each search.
    """
    number = hashlib.sha256(f"{tenant} {search} {payment}".encode()).hexdigest()[:24]
    metadata = {"tenant": tenant, "search": search}
    shared = {"currency": currency, "livemode": False, "metadata": metadata, "payment_intent": f"pi_{number}"}
    if kind == REFUNDED:
        back = amount if refunded is None else refunded
        charge = {"id": f"ch_{number}", "object": "charge", "amount": amount, "amount_captured": amount}
        charge |= {"amount_refunded": back, "captured": True, "paid": True, "status": "succeeded"}
        about = charge | {"refunded": back == amount, **shared}
    else:
        session = {"id": f"cs_test_{number}", "object": "checkout.session", "amount_subtotal": amount}
        session |= {"amount_total": amount, "client_reference_id": search, "mode": "payment", "status": "complete"}
        about = session | {"payment_status": "paid" if kind in {PAID, SETTLED} else "unpaid", **shared}
    return {
        "id": event_id or f"evt_{secrets.token_hex(12)}",
        "object": "event",
        "api_version": "2026-09-30.clover",
        "created": int(time.time()),
        "data": {"object": about},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": TYPES[kind],
    }


def signed(event: dict[str, Any], secret: str, at: float | None = None) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body with which Stripe posts an event.

    Args:
        event: The event.
        secret: The webhook's secret, `whsec_...`.
        at: When it is signed, in seconds since 1970; now if None.
    """
    body = json.dumps(event, indent=2).encode()
    stamp = str(int(time.time() if at is None else at))
    signature = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"content-type": "application/json; charset=utf-8", "stripe-signature": f"t={stamp},v1={signature}"}
    return headers | {"user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)"}, body


def deliver(web_url: str, tenant: str, headers: dict[str, str], body: bytes) -> httpx2.Response:
    """Post a signed event to the platform's web app, as an event for this tenant.

    Raises:
        httpx2.HTTPError: The web app does not answer.
    """
    import httpx2

    return httpx2.post(f"{web_url}/payments/{tenant}", content=body, headers=headers, timeout=_SECONDS, trust_env=False)
