"""Payments over HTTP: 400 for what Stripe did not sign, 200 for what is kept, 503 while it cannot be kept."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import httpx2
import psycopg
import pytest

from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect
from cdp_platform.warehouse.migrate import migrate
from cdp_platform.web import payments
from cdp_platform.web.database import Database
from cdp_platform_tests.conftest import PASSWORD, Warehouse, postgres_settings, running_server
from cdp_platform_tests.enrichment.stripe_says import PERSON, SECRET, body_of, event, refund, session, signature
from cdp_platform_tests.enrichment.test_payments import Shop
from cdp_platform_tests.web.conftest import serving
from cdp_sandbox import payments as stand_in

OLD_SECRET = "whsec_of_last_month"


@dataclass
class Till:
    """The web app that takes payments of a shop."""

    shop: Shop
    client: httpx2.Client

    def post(self, body: bytes, header: str | None = None, *, tenant_id: str = "acme") -> httpx2.Response:
        headers = {"Stripe-Signature": signature(body) if header is None else header}
        return self.client.post(f"/payments/{tenant_id}", content=body, headers=headers)

    def pay(self, said: dict, **options: str) -> tuple[int, str]:
        answer = self.post(body_of(said), **options)
        return answer.status_code, answer.json().get("outcome") or answer.json()["error"]


@pytest.fixture
def till(warehouse: Warehouse, app: psycopg.Connection) -> Iterator[Till]:
    for tenant_id in ("acme", "other"):
        tenants.add(app, tenant_id, arango_database="")
    database = Database(warehouse.settings)
    with serving(database, *payments.routes(database, [SECRET, OLD_SECRET])) as client:
        yield Till(Shop(warehouse, app), client)


def test_a_payment_that_stripe_delivers_three_times_starts_its_search_once(till: Till):
    search_id = till.shop.search()
    paid = session(search=search_id)
    assert [till.pay(paid) for _ in range(3)] == [(200, "paid")] * 3
    assert (till.shop.status(search_id), till.shop.payments(search_id)) == ("paid", 1)


def test_a_payment_signed_with_either_secret_is_taken(till: Till):
    for secret in (SECRET, OLD_SECRET):
        search_id = till.shop.search()
        body = body_of(session(search=search_id))
        assert till.post(body, signature(body, secret)).status_code == 200
        assert till.shop.status(search_id) == "paid"


def test_what_stripe_did_not_sign_lately_is_refused_and_changes_nothing(till: Till):
    search_id = till.shop.search()
    body = body_of(session(search=search_id))
    answers = [
        till.post(body, ""),
        till.post(body, signature(body, "whsec_of_somebody")),
        till.post(body, signature(body, at=int(time.time()) - 400)),
        till.post(body, signature(body, at=int(time.time()) + 400)),
        till.post(body, signature(body).replace("v1=", "v0=")),
        till.post(body.replace(b"299", b"298"), signature(body)),
        till.post(body + b" ", signature(body)),
        till.client.post("/payments/acme", content=body),
        till.post(body, "", tenant_id="nobody"),
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(400, answers[0].text)}
    assert set(answers[0].json()) == {"error"}
    assert (till.shop.status(search_id), till.shop.events()) == ("preview", [])


def test_what_is_signed_and_no_event_or_for_nobody_is_refused(till: Till):
    assert till.post(b"[]").status_code == 400
    for tenant_id in ("nobody", "Acme", "%00", "a%20b"):
        assert till.pay(session(), tenant_id=tenant_id) == (404, "There is no such tenant.")
        assert till.pay(event("charge.succeeded", {}), tenant_id=tenant_id)[0] == 404
    assert till.client.get("/payments/acme").status_code == 405
    assert set(till.client.post("/payments").json()) == {"error"}


def test_events_of_other_types_are_answered_and_not_kept(till: Till):
    assert till.pay(event("charge.succeeded", {"id": "ch_1"})) == (200, "ignored")
    assert till.shop.events() == []


def test_a_payment_that_does_not_fit_is_answered_kept_and_logged_without_a_person(till: Till, caplog):
    search_id = till.shop.search()
    with caplog.at_level(logging.DEBUG):
        assert till.pay(session(search=search_id, amount_total=300)) == (200, "refused")
        assert till.pay(session(search=search_id)) == (200, "paid")
    assert "A payment for tenant acme was refused: It is 3.00 USD, and the price is 2.99 USD." in caplog.text
    assert [value for value in [*PERSON.values(), SECRET] if value in caplog.text] == []


@pytest.mark.parametrize(("size", "status"), [(payments.MOST_BYTES, 200), (payments.MOST_BYTES + 1, 413)])
def test_a_body_is_at_most_so_large(till: Till, size: int, status: int):
    search_id = till.shop.search()
    body = body_of(session(search=search_id))
    assert till.post(body + b" " * (size - len(body))).status_code == status
    assert till.shop.status(search_id) == ("paid" if status == 200 else "preview")


def test_a_refund_takes_the_search_back(till: Till):
    search_id = till.shop.search()
    paid = session(search=search_id, payment_intent="pi_1")
    assert (till.pay(paid), till.pay(refund("pi_1"))) == ((200, "paid"), (200, "refunded"))
    assert till.shop.status(search_id) == "preview"


def test_what_the_sandbox_signs_and_posts_is_taken(till: Till):
    search_id = till.shop.search()
    outcomes = []
    for kind in (stand_in.UNPAID, stand_in.SETTLED, stand_in.PAID, stand_in.REFUNDED):
        signed = stand_in.signed(stand_in.event(kind, tenant="acme", search=str(search_id)), SECRET)
        answer = stand_in.deliver(str(till.client.base_url).rstrip("/"), "acme", *signed)
        outcomes.append((answer.status_code, answer.json()["outcome"]))
    assert outcomes == [(200, "noted"), (200, "paid"), (200, "noted"), (200, "refunded")]
    assert till.shop.status(search_id) == "preview"


def test_what_nobody_foresaw_is_answered_so_that_stripe_comes_again(till: Till, caplog):
    paid = session(search=till.shop.search())
    with till.shop.warehouse.superuser() as superuser:
        superuser.execute("ALTER TABLE enrichment.payment_event RENAME TO elsewhere")
        assert till.pay(paid) == (503, "Try again in a minute.")
        assert "UndefinedTable" in caplog.text
        superuser.execute("ALTER TABLE enrichment.elsewhere RENAME TO payment_event")
    assert till.pay(paid) == (200, "paid")


def test_many_deliveries_at_once_are_one_payment_and_all_are_answered(till: Till):
    search_id = till.shop.search()
    paid = session(search=search_id, payment_intent="pi_1")
    events = [paid | {"id": f"evt_{number % 10}"} for number in range(40)]
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(till.pay, events))
    assert {status for status, _ in answers} == {200}
    assert (till.shop.status(search_id), till.shop.payments(search_id)) == ("paid", 1)


def test_while_payments_of_the_tenant_are_held_up_stripe_is_asked_to_come_again(till: Till, monkeypatch):
    monkeypatch.setattr("cdp_platform.web.database._LOCK_SECONDS", 1)
    search_id = till.shop.search()
    paid = session(search=search_id)
    with till.shop.warehouse.superuser() as superuser:
        superuser.execute("BEGIN; LOCK TABLE enrichment.payment_event IN ACCESS EXCLUSIVE MODE")
        body = body_of(paid)
        answer = till.post(body)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
        superuser.execute("ROLLBACK")
    assert till.shop.status(search_id) == "preview"
    assert till.pay(paid) == (200, "paid")


def test_while_the_database_restarts_stripe_is_asked_to_come_again_and_nothing_is_lost():
    with running_server() as server, ExitStack() as stack:
        settings = postgres_settings(server, server.new_database("test_owner"))
        migrate(settings)
        with connect(settings) as connection:
            tenants.add(connection, "acme", arango_database="")
            search_id = Shop(Warehouse(settings, server), connection).search()
        client = stack.enter_context(serving(database := Database(settings), *payments.routes(database, [SECRET])))
        paid, stays = session(search=search_id), session("async_payment_failed")

        def post(said: dict) -> int:
            body = body_of(said)
            return client.post(
                "/payments/acme", content=body, headers={"Stripe-Signature": signature(body)}
            ).status_code

        # There is an idle connection when the server goes away, and the others find nobody.
        assert post(stays) == 200
        server.postgres.stop()
        assert [post(paid), post(paid)] == [503, 503]
        server.postgres.start(superuser_password=PASSWORD)
        assert post(paid) == 200
        # This time it goes away and comes back between two deliveries.
        server.postgres.stop()
        server.postgres.start(superuser_password=PASSWORD)
        assert post(paid) == 200
        with connect(settings) as connection:
            shop = Shop(Warehouse(settings, server), connection)
            assert (shop.status(search_id), shop.payments(search_id)) == ("paid", 1)
