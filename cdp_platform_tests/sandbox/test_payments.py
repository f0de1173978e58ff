"""Payments that the sandbox tells of: Stripe's own library verifies and reads what the stand-in signs."""

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import stripe
from stripe import SignatureVerificationError, Webhook, WebhookSignature

from cdp_platform_tests.command_line import answers, invoke, says
from cdp_platform_tests.sandbox.conftest import WebApp
from cdp_sandbox.payments import FAILED, PAID, REFUNDED, SETTLED, TYPES, UNPAID, event, signed
from cdp_sandbox.processes import free_port

SECRET = "whsec_of_this_test"
WHOSE: dict[str, Any] = {"tenant": "acme", "search": "search-1"}


def verified(headers: dict[str, str], body: bytes, secret: str = SECRET) -> Any:
    """The event as Stripe's library understands it."""
    return Webhook.construct_event(body, headers["stripe-signature"], secret)


@pytest.mark.parametrize("kind", TYPES)
def test_stripes_library_verifies_and_reads_every_event(kind: str):
    made = event(kind, **WHOSE)
    found = verified(*signed(made, SECRET))
    assert isinstance(found, stripe.Event)
    assert (found.id, found.type, found.created) == (made["id"], TYPES[kind], made["created"])
    assert found.data.object["metadata"].to_dict() == WHOSE
    assert found.data.object["currency"] == "usd"


def test_the_signature_is_the_one_that_stripes_library_makes():
    headers, body = signed(event(PAID, **WHOSE), SECRET, 1_780_000_000)
    theirs = WebhookSignature.generate_signature_header(body.decode(), SECRET, timestamp=1_780_000_000)
    assert headers["stripe-signature"] == theirs


def test_another_secret_a_changed_byte_and_an_old_clock_are_refused():
    headers, body = signed(event(PAID, **WHOSE), SECRET)
    with pytest.raises(SignatureVerificationError):
        verified(headers, body, "whsec_another")
    for place in range(0, len(body), 37):
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        with pytest.raises((SignatureVerificationError, UnicodeDecodeError)):
            verified(headers, changed)
    with pytest.raises(SignatureVerificationError, match="tolerance"):
        verified(*signed(event(PAID, **WHOSE), SECRET, time.time() - 301))


@pytest.mark.parametrize(
    ("kind", "status"), [(PAID, "paid"), (UNPAID, "unpaid"), (SETTLED, "paid"), (FAILED, "unpaid")]
)
def test_a_session_says_how_much_was_paid(kind: str, status: str):
    session = event(kind, **WHOSE, amount=74_000, currency="vnd")["data"]["object"]
    assert session["object"] == "checkout.session"
    assert (session["payment_status"], session["amount_total"], session["currency"]) == (status, 74_000, "vnd")
    assert (session["id"][:3], session["payment_intent"][:3]) == ("cs_", "pi_")


@pytest.mark.parametrize(("refunded", "amount", "whole"), [(None, 299, True), (100, 100, False), (299, 299, True)])
def test_a_refund_says_how_much_was_given_back(refunded: int | None, amount: int, whole: bool):
    charge = event(REFUNDED, **WHOSE, refunded=refunded)["data"]["object"]
    assert charge["object"] == "charge"
    assert (charge["amount"], charge["amount_refunded"], charge["refunded"]) == (299, amount, whole)


def test_all_events_of_a_payment_name_the_same_payment_and_each_has_an_id_of_its_own():
    made = [event(kind, **WHOSE) for kind in TYPES]
    assert len({each["data"]["object"]["payment_intent"] for each in made}) == 1
    assert len({each["id"] for each in made}) == len(TYPES)
    assert len({each["data"]["object"]["id"] for each in made}) == 2
    other = event(PAID, **WHOSE, payment="second")
    assert other["data"]["object"]["id"] != made[0]["data"]["object"]["id"]
    assert event(PAID, **WHOSE, event_id="evt_1")["id"] == "evt_1"


# As a command


@pytest.fixture
def served(web_app: WebApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WebApp:
    """A server at the place of the web app of this folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDP_WEB_PORT", web_app.url.rpartition(":")[2])
    monkeypatch.setenv("PAYMENT_SECRETS", f"{SECRET}, whsec_of_before")
    return web_app


PAY = ("sandbox", "pay", "--tenant", "acme", "--search", "search-1")


def test_a_payment_is_posted_to_the_tenants_address_and_signed_with_the_first_secret(served: WebApp):
    answer = answers(*PAY, "--amount", "1250", "--currency", "eur")
    ((path, headers, body),) = served.posted
    assert path == "/payments/acme"
    found = verified(headers, body)
    assert answer == {"event": found.id, "type": "checkout.session.completed", "status": 200}
    session = found.data.object
    assert (session["amount_total"], session["currency"], session["payment_status"]) == (1250, "eur", "paid")
    assert session["metadata"].to_dict() == WHOSE


@pytest.mark.parametrize("kind", TYPES)
def test_every_kind_of_event_can_be_posted(served: WebApp, kind: str):
    assert TYPES[kind] in says(*PAY, "--event", kind)
    assert verified(*served.posted[0][1:]).type == TYPES[kind]


@pytest.mark.parametrize("wrong", ["secret", "clock", "byte"])
def test_an_event_can_be_signed_wrongly(served: WebApp, wrong: str):
    says(*PAY, "--wrong", wrong)
    _, headers, body = served.posted[0]
    assert json.loads(body)["type"] == "checkout.session.completed"
    with pytest.raises(SignatureVerificationError):
        verified(headers, body)


def test_an_event_can_name_another_tenant_and_come_again(served: WebApp):
    for _ in range(2):
        says(*PAY, "--names-tenant", "other", "--event-id", "evt_again")
    assert [path for path, *_ in served.posted] == ["/payments/acme"] * 2
    events = [verified(headers, body) for _, headers, body in served.posted]
    assert [each.id for each in events] == ["evt_again"] * 2
    assert events[0].data.object["metadata"]["tenant"] == "other"


def test_a_part_can_be_given_back(served: WebApp):
    says(*PAY, "--event", "refunded", "--refunded", "100")
    charge = verified(*served.posted[0][1:]).data.object
    assert Decimal(charge["amount_refunded"]) / Decimal(charge["amount"]) == Decimal(100) / Decimal(299)


def test_a_refusal_of_the_web_app_is_told_and_ends_the_command_with_1(served: WebApp):
    served.status = 400
    assert "the web app answered 400" in says(*PAY, code=1)
    done = invoke(*PAY, "--json")
    assert (done.exit_code, json.loads(done.output)["status"]) == (1, 400)


def test_a_web_app_that_is_not_there_is_told(served: WebApp, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CDP_WEB_PORT", str(free_port()))
    assert "`cdp up` starts it" in says(*PAY, code=1)
    assert served.posted == []
