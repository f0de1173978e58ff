"""Events as the sandbox makes them, with what a test says of them, signed by Stripe's own library."""

import itertools
import json
from typing import Any
from uuid import UUID, uuid4

import stripe

from cdp_sandbox import payments

SECRET = "whsec_of_this_endpoint"
# What events carry of a person, and nothing may keep.
PERSON = {"email": "planted.person@example.com", "name": "Planted Person", "phone": "+4915112345678"}

_KINDS = {
    "completed": payments.PAID,
    "async_payment_succeeded": payments.SETTLED,
    "async_payment_failed": payments.FAILED,
}
_numbers = itertools.count(1)


def session(type_: str = "completed", *, of: str = "acme", search: UUID | str | None = None, **fields: Any) -> dict:
    """An event of a checkout session, by default of a payment of its own: 2.99 US dollars that have arrived."""
    payment = str(next(_numbers))
    made = payments.event(_KINDS[type_], tenant=of, search=str(search or uuid4()), payment=payment)
    made["data"]["object"] |= {"customer_details": PERSON} | fields
    return made


def refund(payment: str | None, *, amount: int = 299, of: int = 299, **fields: Any) -> dict:
    """An event of a charge of which so much was given back, in the smallest unit of its currency."""
    made = payments.event(payments.REFUNDED, tenant="", search="", amount=of, refunded=amount)
    made["data"]["object"] |= {"payment_intent": payment, "metadata": {}, "billing_details": PERSON} | fields
    return made


def event(type_: str, about: dict[str, Any]) -> dict:
    """An event of any type about an object."""
    return session() | {"type": type_, "data": {"object": about}}


def body_of(said: dict) -> bytes:
    """The body of a delivery."""
    return json.dumps(said, indent=2).encode()


def signature(body: bytes, secret: str = SECRET, *, at: int | None = None) -> str:
    """The header that Stripe's library makes."""
    return stripe.WebhookSignature.generate_signature_header(body.decode(), secret, at)
