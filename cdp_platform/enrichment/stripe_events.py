"""Events of Stripe: whether Stripe sent one, and what it says about a payment.

A delivery is signed as https://docs.stripe.com/webhooks#verify-manually says:
``Stripe-Signature: t=SECONDS,v1=HEX[,v1=HEX]``, where each HEX is the HMAC-SHA256 over ``SECONDS.BODY`` with one of the
secrets of the endpoint. Other schemes than ``v1`` are for Stripe's own tests.

The checkout session says in its metadata which ``tenant`` and which ``search`` is paid. Events of other types, of which
an account has many, are nobody's business here.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias
from uuid import UUID

import orjson

from cdp_platform import currencies
from cdp_platform.errors import QueryError
from cdp_platform.ops import signatures

Said: TypeAlias = Literal["paid", "nothing owed", "pending", "failed", "refunded", "partly refunded"]

_REFUND = "charge.refunded"
_TYPES = {
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    _REFUND,
}
_STATUSES: Mapping[Any, Said] = {"paid": "paid", "no_payment_required": "nothing owed"}
# Decimals of an amount where Stripe's differ from those of ISO 4217 (https://docs.stripe.com/currencies#special-cases).
_DECIMALS = {"ISK": 2, "MGA": 0, "UGX": 2}
_ID = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True)
class PaymentEvent:
    """A payment as an event describes it. Values that are missing or cannot be read are None.

    Attributes:
        event_id: of the event; the same one may come again.
        type: Stripe's type of it.
        said: what happened to the payment.
        tenant_id: whose search is paid, as the metadata says.
        search_id: which search is paid, as the metadata says.
        payment_id: of the payment, which refunds name as well; that of the session where it has no payment intent.
        amount: in currency, not in its smallest unit; of a refund, all that was returned so far.
        currency: ISO 4217 code.
        happened_at: when it happened.
    """

    event_id: str
    type: str
    said: Said
    tenant_id: str | None
    search_id: UUID | None
    payment_id: str | None
    amount: Decimal | None
    currency: str | None
    happened_at: datetime | None


def is_signed(secrets: Sequence[str], header: str, body: bytes) -> bool:
    """Whether the value of ``Stripe-Signature`` belongs to this body under one of the secrets, and is fresh."""
    items = [item.partition("=")[::2] for item in header.split(",")]
    at = next((signatures.fresh(value) for name, value in items if name == "t"), None)
    if at is None:
        return False
    given = [value.encode() for name, value in items if name == "v1"]
    expected = [signatures.digits(secret, at, body).encode() for secret in secrets]
    # All are compared, so that the time says nothing.
    fits = [hmac.compare_digest(one, other) for one in expected for other in given]
    return any(fits)


def read(body: bytes) -> PaymentEvent | None:
    """The event in a body; None if it is of a type that says nothing about payments of searches.

    Raises:
        QueryError: the body is no event.
    """
    try:
        event = orjson.loads(body)
        event_id, type_, about = _id(event["id"]), event["type"], event["data"]["object"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        event_id, type_, about = None, None, None
    if event_id is None or not isinstance(about, dict):
        raise QueryError("The body is no event of Stripe.")
    if type_ not in _TYPES:
        return None
    metadata = about.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    amount, currency = _money(about.get("amount_refunded" if type_ == _REFUND else "amount_total"), about)
    return PaymentEvent(
        event_id=event_id,
        type=type_,
        said=_said(type_, about),
        tenant_id=_id(metadata.get("tenant")),
        search_id=_uuid(metadata.get("search")),
        payment_id=_id(about.get("payment_intent")) or (None if type_ == _REFUND else _id(about.get("id"))),
        amount=amount,
        currency=currency,
        happened_at=_moment(event.get("created")),
    )


def _said(type_: str, about: Mapping[str, Any]) -> Said:
    if type_ == _REFUND:
        return "refunded" if about.get("refunded") is True else "partly refunded"
    if type_ != "checkout.session.completed":
        return "failed" if type_ == "checkout.session.async_payment_failed" else "paid"
    # A session is complete before a transfer or a debit has arrived; another event says that it has.
    return _STATUSES.get(about.get("payment_status"), "pending")


def _money(amount: Any, about: Mapping[str, Any]) -> tuple[Decimal | None, str | None]:
    code = str(about.get("currency")).upper()
    decimals = _DECIMALS.get(code, currencies.minor_units(code))
    if decimals is None or type(amount) is not int:
        return None, None
    return Decimal(amount).scaleb(-decimals), code


def _id(value: Any) -> str | None:
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError):
        return None


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
