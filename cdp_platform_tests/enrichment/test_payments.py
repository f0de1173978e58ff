"""A payment that fits starts its search once; whatever else comes changes nothing and is kept with the reason."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from cdp_platform.enrichment import payments, stripe_events
from cdp_platform.enrichment.payments import Taken
from cdp_platform.errors import UnknownTenantError
from cdp_platform.ops import locks, tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests import crashes
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.enrichment.stripe_says import PERSON, body_of, refund, session


@dataclass
class Shop:
    """A tenant with searches, and the deliveries that it gets."""

    warehouse: Warehouse
    connection: psycopg.Connection
    tenant_id: str = "acme"

    def search(self, price: str = "2.99", currency: str = "USD") -> UUID:
        search_id = uuid4()
        with tenant_transaction(self.connection, self.tenant_id):
            self.connection.execute(
                "INSERT INTO enrichment.search (tenant_id, search_id, name, price, currency)"
                " VALUES (%s, %s, 'x', %s, %s)",
                [self.tenant_id, search_id, price, currency],
            )
        return search_id

    def take(self, event: dict, tenant_id: str | None = None) -> Taken:
        return take(self.connection, event, tenant_id or self.tenant_id)

    def move(self, search_id: UUID, *statuses: str) -> None:
        for before, after in itertools.pairwise(statuses):
            moved = self.rows("SELECT enrichment.move_search('acme', %s, %s, %s)", search_id, before, after)
            assert moved == [(True,)]

    def status(self, search_id: UUID) -> str:
        return self.rows("SELECT status FROM enrichment.search WHERE search_id = %s", search_id)[0][0]

    def events(self) -> list[tuple]:
        query = "SELECT type, outcome FROM enrichment.payment_event ORDER BY received_at, event_id"
        return [(type_.rpartition(".")[2], outcome) for type_, outcome in self.rows(query)]

    def payments(self, search_id: UUID) -> int:
        query = "SELECT count(*) FROM enrichment.payment_event WHERE search_id = %s AND outcome = 'paid'"
        return self.rows(query, search_id)[0][0]

    def rows(self, query: str, *values: Any) -> list[tuple]:
        with tenant_transaction(self.connection, self.tenant_id):
            return self.connection.execute(query.encode(), values).fetchall()


def take(connection: psycopg.Connection, event: dict, tenant_id: str = "acme") -> Taken:
    read = stripe_events.read(body_of(event))
    assert read is not None
    return payments.take(connection, tenant_id, read)


def payment_of(event: dict) -> str:
    return event["data"]["object"]["payment_intent"]


@pytest.fixture
def shop(warehouse: Warehouse, app: psycopg.Connection) -> Shop:
    for tenant_id in ("acme", "other"):
        tenants.add(app, tenant_id, arango_database="")
    return Shop(warehouse, app)


def test_a_payment_starts_its_search(shop: Shop):
    search_id = shop.search()
    assert shop.take(session(search=search_id)) == Taken("paid", "")
    ((status, paid_at, fee),) = shop.rows("SELECT status, paid_at, payment_fee FROM enrichment.search")
    assert (status, paid_at is None) == ("paid", False)
    # 2.9 % of 2.99 is 0.08671.
    assert fee == Decimal("0.39")
    ((amount, currency, named),) = shop.rows("SELECT amount, currency, search_id FROM enrichment.payment_event")
    assert (amount, currency, named) == (Decimal("2.99"), "USD", search_id)


@pytest.mark.parametrize("further", [(), ("enriching",), ("enriching", "ready"), ("enriching", "failed")])
def test_a_payment_that_comes_three_times_is_one_payment(shop: Shop, further: tuple[str, ...]):
    search_id = shop.search()
    paid = session(search=search_id)
    again = paid | {"id": "evt_of_another_endpoint"}
    shop.take(paid)
    shop.move(search_id, "paid", *further)
    for _ in range(2):
        assert shop.take(paid) == Taken("paid", "", known=True)
        assert shop.take(again).outcome == "noted"
    assert shop.status(search_id) == ("paid", *further)[-1]
    assert shop.payments(search_id) == 1
    assert payments.open_refusals(shop.connection, "acme") == []


def test_a_checkout_that_is_complete_starts_nothing_before_its_money_is_there(shop: Shop):
    search_id = shop.search()
    payment: dict[str, Any] = {"search": search_id, "payment_intent": "pi_debit"}
    assert shop.take(session(payment_status="unpaid", **payment)).outcome == "noted"
    assert shop.status(search_id) == "preview"
    assert shop.take(session("async_payment_succeeded", **payment)).outcome == "paid"
    assert shop.status(search_id) == "paid"


def test_of_a_debit_the_events_may_come_in_any_order(shop: Shop):
    search_id = shop.search()
    payment: dict[str, Any] = {"search": search_id, "payment_intent": "pi_debit"}
    shop.take(session("async_payment_succeeded", **payment))
    assert shop.take(session(payment_status="unpaid", **payment)).outcome == "noted"
    assert (shop.status(search_id), shop.payments(search_id)) == ("paid", 1)


def test_a_payment_that_failed_changes_nothing_and_another_one_may_follow(shop: Shop):
    search_id = shop.search()
    assert shop.take(session("async_payment_failed", search=search_id, payment_status="unpaid")).outcome == "noted"
    assert shop.status(search_id) == "preview"
    assert shop.take(session(search=search_id)).outcome == "paid"


@pytest.mark.parametrize(
    ("price", "currency", "total"),
    [("299", "JPY", 299), ("50000", "VND", 50_000), ("2.990", "KWD", 2990), ("500", "ISK", 50_000), ("0.01", "EUR", 1)],
)
def test_a_price_is_met_in_the_unit_of_its_currency(shop: Shop, price: str, currency: str, total: int):
    search_id = shop.search(price, currency)
    wrong = session(search=search_id, currency=currency.lower(), amount_total=total * 10)
    assert shop.take(wrong).outcome == "refused"
    paid = session(search=search_id, currency=currency.lower(), amount_total=total)
    assert shop.take(paid).outcome == "paid"
    # Only of US dollars it is known what is kept.
    assert shop.rows("SELECT payment_fee FROM enrichment.search") == [(0,)]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"amount_total": 298}, "It is 2.98 USD, and the price is 2.99 USD."),
        ({"amount_total": 29_900}, "It is 299.00 USD, and the price is 2.99 USD."),
        ({"currency": "eur"}, "It is 2.99 EUR, and the price is 2.99 USD."),
        ({"currency": "jpy"}, "It is 299 JPY, and the price is 2.99 USD."),
        ({"currency": "xau"}, "no amount in a currency that is known"),
        ({"amount_total": None}, "no amount in a currency that is known"),
        ({"payment_status": "no_payment_required"}, "without a payment"),
        ({"of": "other"}, "do not name the tenant"),
        ({"metadata": {}}, "do not name the tenant"),
        ({"search": "7"}, "a search of that tenant"),
        ({"search": UUID(int=7)}, "a search of that tenant"),
    ],
    ids=str,
)
def test_a_payment_that_does_not_fit_is_kept_with_the_reason_and_changes_nothing(shop: Shop, fields: dict, why: str):
    search_id = shop.search()
    said: dict[str, Any] = {"search": search_id} | fields
    taken = shop.take(session(**said))
    assert taken.outcome == "refused"
    assert why in taken.reason
    assert shop.status(search_id) == "preview"
    (refusal,) = payments.open_refusals(shop.connection, "acme")
    assert refusal.reason == taken.reason
    # The right one is still taken.
    assert shop.take(session(search=search_id)).outcome == "paid"


def test_a_payment_for_another_tenant_moves_no_search_of_either(shop: Shop):
    search_id = shop.search()
    assert shop.take(session(search=search_id), tenant_id="other").outcome == "refused"
    assert shop.take(session(search=search_id, of="other"), tenant_id="other").outcome == "refused"
    assert shop.status(search_id) == "preview"
    assert shop.events() == []
    with pytest.raises(UnknownTenantError):
        shop.take(session(search=search_id), tenant_id="nobody")


def test_a_search_without_a_price_starts_by_a_checkout_without_a_payment(shop: Shop):
    search_id = shop.search("0")
    free = session(search=search_id, amount_total=0, payment_status="no_payment_required", payment_intent=None)
    assert shop.take(free).outcome == "paid"
    assert shop.take(free | {"id": "evt_again"}).outcome == "noted"
    assert shop.rows("SELECT status, payment_fee FROM enrichment.search") == [("paid", 0)]


@pytest.mark.parametrize("further", [(), ("enriching",), ("enriching", "ready"), ("enriching", "failed")])
def test_a_second_payment_of_a_search_is_refused_until_it_is_given_back(shop: Shop, further: tuple[str, ...]):
    search_id = shop.search()
    shop.take(session(search=search_id))
    shop.move(search_id, "paid", *further)
    second = session(search=search_id)
    taken = shop.take(second)
    assert taken.outcome == "refused"
    assert "Give the money back" in taken.reason
    (refusal,) = payments.open_refusals(shop.connection, "acme")
    assert (refusal.search_id, refusal.payment_intent, refusal.amount) == (
        search_id,
        payment_of(second),
        Decimal("2.99"),
    )
    assert shop.take(refund(payment_of(second))).outcome == "noted"
    assert payments.open_refusals(shop.connection, "acme") == []
    assert shop.status(search_id) == ("paid", *further)[-1]


def test_a_refund_before_work_takes_the_search_back_and_it_can_be_paid_again(shop: Shop):
    search_id = shop.search()
    paid = session(search=search_id)
    shop.take(paid)
    back = refund(payment_of(paid))
    assert shop.take(back) == Taken("refunded", "")
    assert shop.rows("SELECT status, status_reason, paid_at FROM enrichment.search") == [
        ("preview", "Its payment was given back.", None)
    ]
    # Late deliveries of the payment that was given back start nothing.
    assert shop.take(paid).known
    assert shop.take(paid | {"id": "evt_late"}).outcome == "noted"
    assert shop.take(back | {"id": "evt_later"}).outcome == "noted"
    assert shop.status(search_id) == "preview"
    assert shop.take(session(search=search_id)).outcome == "paid"
    # And the refund of the first payment says nothing about the second.
    assert shop.take(back | {"id": "evt_much_later"}).outcome == "noted"
    assert shop.rows("SELECT status, payment_fee FROM enrichment.search") == [("paid", Decimal("0.78"))]


@pytest.mark.parametrize(
    "statuses",
    [("enriching",), ("enriching", "ready"), ("enriching", "failed"), ("enriching", "failed", "paid")],
    ids=str,
)
def test_a_refund_after_work_began_is_only_noted(shop: Shop, statuses: tuple[str, ...]):
    search_id = shop.search()
    paid = session(search=search_id)
    shop.take(paid)
    shop.move(search_id, "paid", *statuses)
    assert shop.take(refund(payment_of(paid))) == Taken("noted", "Work had begun when the payment was given back.")
    assert shop.status(search_id) == statuses[-1]


def test_a_refund_that_comes_before_its_payment_keeps_the_search_from_starting(shop: Shop):
    search_id = shop.search()
    paid = session(search=search_id)
    assert shop.take(refund(payment_of(paid))).outcome == "noted"
    assert shop.take(paid) == Taken("noted", "The payment was given back before this event came.")
    assert shop.status(search_id) == "preview"
    assert shop.take(session(search=search_id)).outcome == "paid"


def test_a_refund_of_a_part_is_only_noted_whenever_it_comes(shop: Shop):
    search_id = shop.search()
    paid = session(search=search_id)
    assert shop.take(refund(payment_of(paid), amount=100)).outcome == "noted"
    assert shop.take(paid).outcome == "paid"
    assert shop.take(refund(payment_of(paid), amount=200)).outcome == "noted"
    assert shop.status(search_id) == "paid"
    # The last part.
    assert shop.take(refund(payment_of(paid))).outcome == "refunded"
    assert shop.status(search_id) == "preview"


def test_a_refund_names_its_search_by_its_metadata_where_it_names_no_payment(shop: Shop):
    search_id = shop.search()
    shop.take(session(search=search_id))
    metadata = {"tenant": "acme", "search": str(search_id)}
    back = refund(None, metadata=metadata)
    assert shop.take(refund(None)).outcome == "noted"
    assert shop.status(search_id) == "paid"
    assert shop.take(back).outcome == "refunded"
    assert shop.status(search_id) == "preview"


def test_a_refund_of_another_payment_with_the_metadata_of_the_search_changes_nothing(shop: Shop):
    search_id = shop.search()
    shop.take(session(search=search_id))
    metadata = {"tenant": "acme", "search": str(search_id)}
    assert shop.take(refund("pi_of_something_else", metadata=metadata)).outcome == "noted"
    assert shop.status(search_id) == "paid"


def test_nothing_of_a_person_is_kept(shop: Shop):
    search_id = shop.search()
    paid = session(search=search_id)
    for event in (
        paid,
        refund(payment_of(paid)),
        session(search=search_id, amount_total=1),
        session("async_payment_failed"),
    ):
        shop.take(event)
    kept = str(shop.rows("SELECT * FROM enrichment.payment_event") + shop.rows("SELECT * FROM enrichment.search"))
    assert len(shop.events()) == 4
    assert [value for value in PERSON.values() if value in kept] == []


def at_once(shop: Shop, *events: dict) -> list[Taken]:
    """Deliver all of these at the same time, each on a connection of its own, held up until all of them wait."""
    with shop.warehouse.superuser() as superuser, ThreadPoolExecutor(len(events)) as threads:
        superuser.execute("BEGIN; LOCK TABLE enrichment.payment_event IN ACCESS EXCLUSIVE MODE")

        def on_its_own(event: dict) -> Taken:
            with connect(shop.warehouse.settings) as connection:
                return take(connection, event)

        doing = [threads.submit(on_its_own, event) for event in events]
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        with shop.warehouse.superuser() as watcher:
            while watcher.execute(waiting).fetchone() != (len(events),):
                assert not any(each.done() for each in doing)
        superuser.execute("COMMIT")
        return [each.result(60) for each in doing]


def test_deliveries_at_the_same_time_are_one_payment(shop: Shop):
    search_id = shop.search()
    paid = session(search=search_id)
    again = paid | {"id": "evt_of_another_endpoint"}
    taken = at_once(shop, paid, paid, paid, again, session(search=search_id))
    assert taken.count(Taken("paid", "")) == 1
    assert (shop.status(search_id), shop.payments(search_id)) == ("paid", 1)


def test_a_payment_and_its_refund_at_the_same_time_end_without_work(shop: Shop):
    for _ in range(5):
        search_id = shop.search()
        paid = session(search=search_id)
        at_once(shop, paid, refund(payment_of(paid)))
        assert shop.status(search_id) == "preview"


def test_a_refund_while_a_run_takes_the_search_up_moves_it_once(shop: Shop):
    search_id = shop.search()
    paid = session(search=search_id)
    shop.take(paid)
    ready = threading.Event()
    with connect(shop.warehouse.settings) as run, ThreadPoolExecutor(1) as thread:
        with tenant_transaction(run, "acme"):
            run.execute("SELECT enrichment.move_search('acme', %s, 'paid', 'enriching')", [search_id])

            def give_back() -> Taken:
                with connect(shop.warehouse.settings) as connection:
                    ready.set()
                    return take(connection, refund(payment_of(paid)))

            doing = thread.submit(give_back)
            ready.wait(30)
            with shop.warehouse.superuser() as watcher:
                while watcher.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (0,):
                    assert not doing.done()
        assert doing.result(60).outcome == "noted"
    assert shop.status(search_id) == "enriching"


def test_payments_of_other_tenants_do_not_wait(shop: Shop):
    other = Shop(shop.warehouse, shop.connection, "other")
    search_id = other.search()
    with connect(shop.warehouse.settings) as connection, tenant_transaction(connection, "acme"):
        locks.take(connection, locks.payments("acme"))
        assert other.take(session(search=search_id, of="other")).outcome == "paid"


def test_killed_after_every_write_and_delivered_again_it_is_one_payment(shop: Shop):
    def fresh() -> tuple[UUID, dict]:
        search_id = shop.search()
        return search_id, session(search=search_id)

    def work(place: tuple[UUID, dict]) -> None:
        with connect(shop.warehouse.settings) as connection:
            take(connection, place[1])

    killed = 0
    for _, (search_id, paid) in crashes.after_every_write(work, fresh):
        assert shop.status(search_id) in {"preview", "paid"}
        assert shop.payments(search_id) == (shop.status(search_id) == "paid")
        shop.take(paid)
        assert (shop.status(search_id), shop.payments(search_id)) == ("paid", 1)
        killed += 1
    assert killed >= 3
