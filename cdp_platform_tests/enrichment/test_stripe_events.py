"""An event counts if Stripe signed it, lately, as it is; amounts are read as Stripe writes them."""

import hmac
import json
import time
from decimal import Decimal
from uuid import UUID

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from cdp_platform.enrichment import stripe_events
from cdp_platform.enrichment.stripe_events import PaymentEvent
from cdp_platform.errors import QueryError
from cdp_platform_tests.enrichment.stripe_says import SECRET, body_of, event, refund, session, signature

SEARCH = UUID("00000000-0000-4000-8000-00000000000a")
BODY = body_of(session(search=SEARCH, id="cs_test_é"))
# Of https://docs.stripe.com/currencies. Its list of currencies without decimals has UGX as well, of which the special
# cases below the list say that amounts have two.
WITHOUT_DECIMALS = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()
WITH_THREE = "BHD JOD KWD OMR TND".split()
WITH_TWO = "USD EUR GBP CHF AUD SGD THB INR HUF TWD ISK UGX".split()


def read(said: dict) -> PaymentEvent:
    found = stripe_events.read(body_of(said))
    assert found is not None
    return found


def takes(header: str, body: bytes = BODY, *secrets: str) -> bool:
    return stripe_events.is_signed(secrets or (SECRET,), header, body)


def stripe_takes(header: str, body: bytes = BODY) -> bool:
    try:
        stripe.Webhook.construct_event(body, header, SECRET)
    except stripe.SignatureVerificationError:
        return False
    return True


def test_what_the_library_of_stripe_signs_is_taken():
    assert takes(signature(BODY))


def test_the_library_of_stripe_takes_what_is_taken_here():
    at = int(time.time())
    ours = hmac.digest(SECRET.encode(), b"%d." % at + BODY, "sha256").hex()
    for header in (f"t={at},v1={ours}", f"v1={ours},t={at}", f"t={at},v0=ff,v1=00,v1={ours}", f"t={at},v1={ours},x"):
        assert takes(header)
        assert stripe_takes(header) or header.endswith(",x")


def test_during_a_rotation_both_secrets_are_accepted_and_no_third_one():
    both = ("whsec_of_next_month", SECRET)
    assert takes(signature(BODY), BODY, *both)
    assert takes(signature(BODY, "whsec_of_next_month"), BODY, *both)
    assert not takes(signature(BODY, "whsec_of_last_month"), BODY, *both)
    # Meanwhile Stripe signs with both, and any of its signatures may be ours.
    at = int(time.time())
    old, new = (signature(BODY, secret, at=at).partition(",v1=")[2] for secret in ("whsec_of_last_month", SECRET))
    assert takes(f"t={at},v1={old},v1={new}")


def test_without_a_secret_nothing_is_taken():
    assert not stripe_events.is_signed([], signature(BODY, ""), BODY)


@pytest.mark.parametrize(("age", "taken"), [(0, True), (290, True), (310, False), (-290, True), (-310, False)])
def test_a_signature_is_fresh_for_five_minutes(age: int, *, taken: bool):
    assert takes(signature(BODY, at=int(time.time()) - age)) is taken


def test_a_signature_by_another_scheme_is_none():
    assert not takes(signature(BODY).replace("v1=", "v0="))
    assert not takes(signature(BODY).replace("v1=", "v10="))


@pytest.mark.parametrize("header", ["", "t=,v1=", "t=now,v1=00", "v1=00", "t=1", ",,,", "=", "t=1=2,v1=é", "\x00" * 99])
def test_what_is_no_signature_is_refused(header: str):
    assert not takes(header)


@given(at=st.integers(0, len(BODY) - 1), other=st.integers(1, 255))
def test_a_body_with_one_byte_changed_is_refused(at: int, other: int):
    header, changed = signature(BODY), bytearray(BODY)
    changed[at] ^= other
    assert takes(header)
    assert not takes(header, bytes(changed))


@given(st.data())
def test_a_header_with_one_byte_changed_is_refused(data: st.DataObject):
    header = signature(BODY)
    at = data.draw(st.integers(0, len(header) - 1))
    changed = bytearray(header.encode("latin-1"))
    changed[at] ^= data.draw(st.integers(1, 255))
    assert not takes(changed.decode("latin-1"))


@given(at=st.integers(0, len(BODY)), more=st.binary(min_size=1, max_size=4))
def test_a_body_with_something_added_or_cut_off_is_refused(at: int, more: bytes):
    header = signature(BODY)
    assert not takes(header, BODY[:at] + more + BODY[at:])
    assert not takes(header, BODY[: max(0, at - 1)])


@given(st.binary(max_size=200), st.text(max_size=40).filter(lambda text: text.strip() != ""))
def test_what_is_taken_here_is_what_stripe_takes(body: bytes, secret: str):
    # Whatever the library can sign: its bodies are texts.
    text = body.decode("latin-1").encode()
    header = signature(text, secret.encode("utf-8", "replace").decode())
    assert takes(header, text, secret.encode("utf-8", "replace").decode())


def test_an_event_says_which_search_of_whom_is_paid_with_how_much():
    said = session(search=SEARCH, payment_intent="pi_1")
    assert read(said) == PaymentEvent(
        event_id=said["id"],
        type="checkout.session.completed",
        said="paid",
        tenant_id="acme",
        search_id=SEARCH,
        payment_id="pi_1",
        amount=Decimal("2.99"),
        currency="USD",
        happened_at=read(said).happened_at,
    )
    happened_at = read(said).happened_at
    assert happened_at is not None
    assert happened_at.timestamp() == said["created"]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (session(), "paid"),
        (session(payment_status="unpaid"), "pending"),
        (session(payment_status="no_payment_required"), "nothing owed"),
        (session(payment_status="a word of next year"), "pending"),
        (session(payment_status=None), "pending"),
        (session("async_payment_succeeded"), "paid"),
        (session("async_payment_failed", payment_status="unpaid"), "failed"),
        (refund("pi_1"), "refunded"),
        (refund("pi_1", amount=100), "partly refunded"),
    ],
)
def test_an_event_says_what_happened_to_the_payment(event: dict, said: str):
    assert read(event).said == said


def test_a_refund_has_what_was_given_back_as_its_amount():
    assert read(refund("pi_1", amount=100)).amount == Decimal("1.00")
    assert read(refund("pi_1")).payment_id == "pi_1"
    assert read(refund(None)).payment_id is None


def test_a_session_without_a_payment_intent_is_known_by_its_own_id():
    assert read(session(payment_intent=None, id="cs_1")).payment_id == "cs_1"


@pytest.mark.parametrize(
    ("codes", "decimals"), [(WITHOUT_DECIMALS, 0), (WITH_THREE, 3), (WITH_TWO, 2)], ids=["none", "three", "two"]
)
def test_amounts_have_the_decimals_that_stripe_writes(codes: list[str], decimals: int):
    wrong = {
        code: found.amount
        for code in codes
        for found in [read(session(currency=code.lower(), amount_total=12_340))]
        if found.amount != Decimal(12_340) / 10**decimals or found.currency != code
    }
    assert wrong == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"currency": "xau"},
        {"currency": None},
        {"currency": 7},
        {"amount_total": None},
        {"amount_total": 299.0},
        {"amount_total": "299"},
        {"amount_total": True},
        {"amount_total": 10**30},
    ],
    ids=str,
)
def test_money_that_cannot_be_read_is_none(fields: dict):
    assert (read(session(**fields)).amount, read(session(**fields)).currency) == (None, None)


@pytest.mark.parametrize(
    "metadata", [{}, None, [], "x", {"tenant": 1, "search": 2}, {"tenant": "a\x00", "search": "7"}, {"search": [1]}]
)
def test_metadata_of_somebody_else_name_nothing(metadata: object):
    found = read(session(metadata=metadata))
    assert (found.tenant_id, found.search_id) == (None, None)


@pytest.mark.parametrize("created", [None, "now", 10**20, -(10**20), [1]])
def test_an_event_of_no_moment_is_read(created: object):
    assert read(session() | {"created": created}).happened_at is None


@pytest.mark.parametrize(
    "type_", ["charge.succeeded", "payment_intent.succeeded", "checkout.session.expired", "charge.dispute.created"]
)
def test_events_of_other_types_are_nobodys_business(type_: str):
    assert stripe_events.read(body_of(event(type_, {"id": "x"}))) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b"\xff",
        b"[" * 5000,
        b'{"id": "evt_1"}',
        b'{"id": 1, "type": "charge.refunded", "data": {"object": {}}}',
        b'{"id": "a\\u0000b", "type": "charge.refunded", "data": {"object": {}}}',
        b'{"id": "evt_1", "type": "charge.refunded", "data": {"object": []}}',
        b'{"id": "evt_1", "type": "charge.refunded", "data": []}',
    ],
)
def test_what_is_no_event_is_refused(body: bytes):
    with pytest.raises(QueryError, match="no event of Stripe"):
        stripe_events.read(body)


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        "id type data object metadata tenant search amount_total currency payment_intent created".split()
    ), inner, max_size=6)
), max_leaves=12))  # fmt: skip
def test_no_object_of_a_session_breaks_the_reading(about: object):
    said = json.dumps({"id": "evt_1", "type": "checkout.session.completed", "data": {"object": about}})
    try:
        stripe_events.read(said.encode("utf-8", "replace"))
    except QueryError:
        assert not isinstance(about, dict)
