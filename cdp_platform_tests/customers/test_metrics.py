"""The worked rows of the ETL that this room replaces, and what it got wrong."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp_platform.customers import metrics
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.customers import cdnow

AS_OF = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Shop:
    """A tenant with customers and their purchases, written straight into the tables."""

    def __init__(self, connection: psycopg.Connection, tenant_id: str = "acme") -> None:
        self.connection, self.tenant_id, self.lines = connection, tenant_id, 0
        tenants.add(connection, tenant_id, name=tenant_id, arango_database=tenant_id)

    def customer(self, profile_id: str, *, closed: bool = False) -> None:
        closed_reason, closed_at = ("merged", AS_OF) if closed else (None, None)
        with tenant_transaction(self.connection, self.tenant_id):
            # Every list that the table wants is empty: metrics read none of them.
            self.connection.execute(
                """
                INSERT INTO customers.cdp_profiles
                SELECT * FROM jsonb_populate_record(NULL::customers.cdp_profiles,
                    (SELECT jsonb_object_agg(attname, '[]'::jsonb) FROM pg_attribute
                     WHERE attrelid = 'customers.cdp_profiles'::regclass AND atttypid = 'jsonb'::regtype)
                    || jsonb_build_object('tenant_id', %s::text, 'profile_id', %s::text, 'status', 'active',
                        'closed_reason', %s::text, 'closed_at', %s::text, 'document_hash', '', 'synced_at', now()))
                """,
                [self.tenant_id, profile_id, closed_reason, closed_at],
            )

    def buys(self, profile_id: str, amount: Any, days_ago: float | None, **more: Any) -> None:
        self.lines += 1
        occurred_at = None if days_ago is None else AS_OF - timedelta(days=days_ago)
        row = {"currency": "USD", "order_id": None, "line_id": f"l{self.lines}"} | more
        with tenant_transaction(self.connection, self.tenant_id):
            self.connection.execute(
                "INSERT INTO customers.transactions (tenant_id, line_id, order_id, profile_id, amount, currency,"
                " occurred_at, segment_ids, asset_group_ids, document, document_hash)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, '[]', '[]', '{}', '')",
                [self.tenant_id, row["line_id"], row["order_id"], profile_id, amount, row["currency"], occurred_at],
            )

    def change(self, statement: str) -> None:
        with tenant_transaction(self.connection, self.tenant_id):
            self.connection.execute(statement)

    def computed(self, as_of: datetime = AS_OF) -> int:
        """How many customers an incremental refresh computes."""
        with tenant_transaction(self.connection, self.tenant_id):
            query = "SELECT customers.refresh_customer_metrics(%s, %s, true)"
            ((computed,),) = self.connection.execute(query, [self.tenant_id, as_of]).fetchall()
        return computed

    def stored(self) -> list[tuple[Any, ...]]:
        with tenant_transaction(self.connection, self.tenant_id):
            return self.connection.execute(
                "SELECT profile_id, currency, last_purchase, freq_90d, avg_order_value, monetary_90d, clv_est,"
                " experience_score, segment, segment_reason FROM customers.customer_metrics ORDER BY 1, 2"
            ).fetchall()

    def figures(self, as_of: datetime) -> list[tuple[Any, ...]]:
        """What a full refresh would store, without the reason."""
        with tenant_transaction(self.connection, self.tenant_id):
            query = "SELECT * FROM customers.customer_figures(%s, %s, NULL) ORDER BY 1, 2"
            return self.connection.execute(query, [self.tenant_id, as_of]).fetchall()

    def refresh(self, as_of: datetime = AS_OF) -> dict[tuple[str, str], tuple[Any, ...]]:
        """Metrics by (customer, currency): freq, aov, monetary, clv, experience, segment."""
        with tenant_transaction(self.connection, self.tenant_id):
            self.connection.execute("SELECT customers.refresh_customer_metrics(%s, %s)", [self.tenant_id, as_of])
            rows = self.connection.execute(
                "SELECT profile_id, currency, freq_90d, round(avg_order_value, 2), monetary_90d, clv_est,"
                " experience_score, segment FROM customers.customer_metrics"
            ).fetchall()
        return {(row[0], row[1]): row[2:] for row in rows}


@pytest.fixture
def shop(app: psycopg.Connection) -> Shop:
    return Shop(app)


@pytest.mark.parametrize(
    ("purchases", "clv", "experience", "segment"),
    [
        ([], "-5", "-60", "prospective"),
        ([(120, 10)], "1455", "43", "happy"),
        ([(100, 5), (50, 40), (300, 200)], "3645", "45", "happy"),
        ([(300, 200)], "-5", "-10", "inactive"),
        ([(0, 1)], "-5", "42", "target"),
        ([(15, 10)], "177.50", "43", "first_time"),
        ([(75, None)], "-5", "-60", "prospective"),
        ([(12990000, 10)], "158044995", "43", "happy"),
    ],
    ids=["nothing", "one recent", "three", "one old", "zero value", "small", "no date", "dong"],
)
def test_the_worked_rows(shop: Shop, purchases, clv, experience, segment):
    shop.customer("c")
    for amount, days in purchases:
        shop.buys("c", amount, days)
    ((*_, found_clv, found_experience, found_segment),) = shop.refresh().values()
    assert (found_clv, found_experience, found_segment) == (Decimal(clv), Decimal(experience), segment)


def test_the_third_worked_row_in_full(shop: Shop):
    shop.customer("c")
    for amount, days in [(100, 5), (50, 40), (300, 200)]:
        shop.buys("c", amount, days)
    assert shop.refresh()["c", "USD"] == (2, Decimal(150), Decimal(150), Decimal(3645), Decimal(45), "happy")


def test_currencies_are_never_added(shop: Shop):
    shop.customer("c")
    shop.buys("c", 12990000, 10, currency="VND")
    shop.buys("c", 120, 10, currency="USD")
    found = shop.refresh()
    assert {key: row[3] for key, row in found.items()} == {("c", "VND"): 158045000, ("c", "USD"): 1455}


def rounded(exact: Fraction) -> Decimal:
    """To two decimal places, half away from zero."""
    hundredths = int(abs(exact) * 100 + Fraction(1, 2))
    return Decimal(hundredths if exact >= 0 else -hundredths) / 100


def exact_value(amounts: list[Decimal], recent: int, *, years: Fraction, cac: Fraction) -> Decimal:
    paid = [Fraction(amount) for amount in amounts if amount > 0]
    average = sum(paid, Fraction(0)) / max(len(paid), 1)
    return rounded(average * recent * 365 / 90 * years - cac)


def test_a_value_halfway_between_two_cents_is_rounded_away_from_zero(shop: Shop):
    shop.customer("c")
    shop.buys("c", Decimal("14.37"), 10)
    assert shop.refresh()["c", "USD"][3] == Decimal("169.84")  # Exactly 169.835.
    shop.change("UPDATE customers.transactions SET amount = 0")
    shop.change("INSERT INTO customers.tenant_metrics_config (tenant_id, currency, cac) VALUES ('acme', 'USD', 2.345)")
    assert shop.refresh()["c", "USD"][3] == Decimal("-2.35")


AMOUNTS = st.lists(st.tuples(st.decimals("0.01", "99999.99", places=2), st.booleans()), min_size=1, max_size=7)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    customers=st.lists(AMOUNTS, min_size=1, max_size=20),
    years=st.decimals("0.1", "9.9", places=1),
    cac=st.decimals("0", "99.999", places=3),
)
def test_the_value_is_the_exact_fraction_rounded_once(shop: Shop, customers, years: Decimal, cac: Decimal):
    for table in ("transactions", "cdp_profiles", "tenant_metrics_config"):
        shop.change(f"DELETE FROM customers.{table}")
    shop.change(
        "INSERT INTO customers.tenant_metrics_config (tenant_id, expected_lifetime_years, cac)"
        f" VALUES ('acme', {years}, {cac})"
    )
    for number, orders in enumerate(customers):
        shop.customer(f"c{number}")
        for amount, is_recent in orders:
            shop.buys(f"c{number}", amount, 10 if is_recent else 200)
    found = {profile_id: row[3] for (profile_id, _), row in shop.refresh().items()}
    assert found == {
        f"c{number}": exact_value(
            [amount for amount, _ in orders],
            sum(is_recent for _, is_recent in orders),
            years=Fraction(years),
            cac=Fraction(cac),
        )
        for number, orders in enumerate(customers)
    }


def test_the_experience_is_rounded_once_too(shop: Shop):
    """20 / 3 as a decimal is a little too much, and 6.70 divided by it a little less than the exact 1.005."""
    shop.customer("c")
    for amount, days in [("6.70", 10), ("6.70", 100), ("6.60", 100)]:
        shop.buys("c", Decimal(amount), days)
    assert shop.refresh()["c", "USD"][4] == rounded(40 + Fraction(670 * 3, 2000) + 2) == Decimal("43.01")


def test_the_value_of_every_customer_of_cdnow_is_exact(app: psycopg.Connection):
    as_of = datetime(1998, 1, 1, tzinfo=UTC)
    bought = cdnow.tenth()
    cdnow.load(app, "cdnow", bought)
    amounts: dict[str, list[Decimal]] = defaultdict(list)
    recent: dict[str, int] = defaultdict(int)
    for each in bought:
        at = datetime(each.day.year, each.day.month, each.day.day, 12, tzinfo=UTC)
        if at <= as_of:
            amounts[each.customer].append(each.dollars)
            recent[each.customer] += at >= as_of - timedelta(days=90)
    with tenant_transaction(app, "cdnow"):
        found = app.execute(
            "SELECT profile_id, clv_est FROM customers.customer_figures('cdnow', %s, NULL)", [as_of]
        ).fetchall()
    wrong = {
        customer
        for customer, value in found
        if value != exact_value(amounts[customer], recent[customer], years=Fraction(3), cac=Fraction(5))
    }
    assert (len(found), wrong) == (2357, set())


def test_the_default_amounts_are_us_dollars_and_hold_in_no_other_currency(shop: Shop):
    shop.customer("c")
    for currency in ("USD", "VND", "EUR", None):
        shop.buys("c", 120, 10, currency=currency)
    assert {currency: row[3:] for (_, currency), row in shop.refresh().items()} == {
        "USD": (Decimal(1455), Decimal(43), "happy"),
        "VND": (Decimal(1460), Decimal(43), "target"),
        "EUR": (Decimal(1460), Decimal(43), "target"),
        "XXX": (Decimal(1460), Decimal(43), "target"),
    }


@pytest.mark.parametrize(("amount", "segment"), [(20_000_000, "happy"), (1_000_000, "first_time"), (100_000, "target")])
def test_the_borders_of_segments_are_in_the_currency_of_the_threshold(shop: Shop, amount: int, segment: str):
    """First-time buyers begin at a fifth of the threshold, as 100 of 500 dollars."""
    shop.customer("c")
    shop.buys("c", amount, 10, currency="VND")
    shop.change(
        "INSERT INTO customers.tenant_metrics_config (tenant_id, currency, cac, clv_happy_threshold)"
        " VALUES ('acme', 'VND', 125000, 12500001)"
    )
    assert shop.refresh()["c", "VND"][-1] == segment


def test_a_row_of_the_configuration_says_nothing_about_what_it_leaves_out(shop: Shop):
    shop.customer("c")
    shop.buys("c", 120, 10, currency="VND")
    shop.change("INSERT INTO customers.tenant_metrics_config (tenant_id, expected_lifetime_years) VALUES ('acme', 1)")
    assert shop.refresh()["c", "VND"][3:] == (rounded(Fraction(120 * 365, 90)), Decimal(43), "target")


def test_a_refund_in_its_order_lowers_the_order_and_leaves_its_date(shop: Shop):
    shop.customer("c")
    shop.buys("c", 300, 200, order_id="o1")
    shop.buys("c", -180, 10, order_id="o1")
    assert shop.refresh()["c", "USD"] == (0, Decimal(120), Decimal(0), Decimal(-5), Decimal(-10), "inactive")


def test_an_order_that_was_refunded_whole_is_no_purchase(shop: Shop):
    shop.customer("c")
    shop.buys("c", 300, 10, order_id="o1")
    shop.buys("c", -300, 5, order_id="o1")
    assert shop.refresh()["c", "USD"] == (0, Decimal(0), Decimal(0), Decimal(-5), Decimal(-60), "prospective")


def test_a_refund_with_an_order_of_its_own_lowers_the_spend_and_is_no_purchase(shop: Shop):
    shop.customer("c")
    shop.buys("c", 100, 20)
    shop.buys("c", 140, 20)
    shop.buys("c", -60, 5)
    # Two purchases that brought 180 together.
    value = exact_value([Decimal(90), Decimal(90)], 2, years=Fraction(3), cac=Fraction(5))
    assert shop.refresh()["c", "USD"] == (2, Decimal(90), Decimal(180), value, Decimal(46), "happy")
    assert shop.stored()[0][2] == AS_OF - timedelta(days=20)


def test_more_refunded_than_bought_is_no_negative_value(shop: Shop):
    shop.customer("c")
    shop.buys("c", 100, 20)
    shop.buys("c", -130, 5)
    assert shop.refresh()["c", "USD"] == (1, Decimal(0), Decimal(-30), Decimal(-5), Decimal(12), "target")


def test_an_amount_without_currency_is_counted_by_itself(shop: Shop):
    shop.customer("c")
    shop.buys("c", 10, 10, currency=None)
    shop.buys("c", 120, 10)
    assert set(shop.refresh()) == {("c", "XXX"), ("c", "USD")}


def test_the_lines_of_one_order_are_one_purchase(shop: Shop):
    shop.customer("c")
    shop.buys("c", 100, 10, order_id="o1")
    shop.buys("c", 20, 10, order_id="o1")
    assert shop.refresh()["c", "USD"] == (1, Decimal(120), Decimal(120), Decimal(1455), Decimal(43), "happy")
    with tenant_transaction(shop.connection, shop.tenant_id):
        orders = shop.connection.execute("SELECT order_id, currency, lines, amount FROM customers.orders").fetchall()
    assert orders == [("o1", "USD", 2, Decimal(120))]


def test_the_same_order_id_of_two_customers_is_two_orders(shop: Shop):
    for name in ("a", "b"):
        shop.customer(name)
        shop.buys(name, 120, 10, order_id="o1")
    assert {row[0] for row in shop.refresh().values()} == {1}


def test_a_closed_profile_has_no_metrics_any_more(shop: Shop):
    shop.customer("c")
    shop.customer("gone", closed=True)
    assert set(shop.refresh()) == {("c", "XXX")}


def test_what_changed_is_written_and_nothing_else(shop: Shop):
    for name in ("a", "b"):
        shop.customer(name)
        shop.buys(name, 120, 10)

    def versions() -> dict[str, str]:
        with tenant_transaction(shop.connection, shop.tenant_id):
            rows = shop.connection.execute(
                "SELECT profile_id, xmin::text || ctid::text FROM customers.customer_metrics"
            )
            return dict(rows.fetchall())

    shop.refresh()
    before = versions()
    shop.refresh()
    assert versions() == before
    shop.buys("a", 1, 1)
    shop.refresh()
    assert [name for name, version in versions().items() if version != before[name]] == ["a"]


def test_the_configuration_of_a_currency_wins_over_that_of_all(shop: Shop):
    shop.customer("c")
    shop.buys("c", 120, 10, currency="USD")
    shop.buys("c", 120, 10, currency="EUR")
    with tenant_transaction(shop.connection, shop.tenant_id):
        shop.connection.execute(
            "INSERT INTO customers.tenant_metrics_config (tenant_id, currency, cac, clv_happy_threshold)"
            " VALUES (%(t)s, '*', 60, 500), (%(t)s, 'EUR', 160, 5000)",
            {"t": shop.tenant_id},
        )
    found = shop.refresh()
    assert found["c", "USD"][3:] == (Decimal(1400), Decimal(43), "happy")
    assert found["c", "EUR"][3:] == (Decimal(1300), Decimal(43), "first_time")


@pytest.mark.parametrize("currency", ["RMB", "ZZZ", "XTS", "eur"])
def test_a_configuration_is_for_a_currency_that_exists(shop: Shop, currency: str):
    insert = "INSERT INTO customers.tenant_metrics_config (tenant_id, currency) VALUES (%s, %s)"
    with tenant_transaction(shop.connection, shop.tenant_id):
        shop.connection.cursor().executemany(insert, [(shop.tenant_id, each) for each in ("*", "XXX", "VND", "HRK")])
    with pytest.raises(psycopg.errors.CheckViolation), tenant_transaction(shop.connection, shop.tenant_id):
        shop.connection.execute(insert, [shop.tenant_id, currency])


def test_time_alone_moves_a_customer(shop: Shop):
    shop.customer("c")
    shop.buys("c", 120, 10)
    assert shop.refresh()["c", "USD"][-1] == "happy"
    assert shop.refresh(AS_OF + timedelta(days=100))["c", "USD"][-1] == "inactive"


def test_an_order_in_the_future_is_no_purchase_yet(shop: Shop):
    shop.customer("c")
    shop.buys("c", 120, -400)
    assert shop.refresh()["c", "XXX"][-1] == "prospective"


def test_two_refreshes_at_once_do_not_collide(shop: Shop, warehouse: Warehouse):
    for number in range(200):
        shop.customer(f"c{number}")

    def refresh(_number: int) -> int:
        with connect(warehouse.settings) as connection:
            return metrics.refresh(connection, "acme").rows

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(refresh, range(4))) == [200] * 4


def test_a_transaction_acts_for_one_tenant(shop: Shop):
    with (
        pytest.raises(psycopg.errors.RaiseException, match="acts for tenant acme"),
        tenant_transaction(shop.connection, "acme"),
    ):
        shop.connection.execute("SELECT customers.refresh_customer_metrics('beta')")


def test_called_without_context_it_takes_the_tenant_and_gives_it_back(shop: Shop):
    shop.customer("c")
    assert shop.connection.execute("SELECT customers.refresh_customer_metrics('acme')").fetchone() == (1,)
    assert shop.connection.execute("SELECT count(*) FROM customers.customer_metrics").fetchone() == (0,)


def test_the_result_counts_segments(shop: Shop):
    shop.customer("a")
    shop.customer("b")
    assert metrics.refresh(shop.connection, "acme") == metrics.MetricsResult(2, 2, {"prospective": 2})
    assert metrics.refresh(shop.connection, "acme") == metrics.MetricsResult(0, 2, {"prospective": 2})
    assert metrics.refresh(shop.connection, "acme", full=True).computed == 2


def test_only_those_are_computed_who_were_touched(shop: Shop):
    for name in "abcde":
        shop.customer(name)
        shop.buys(name, 120, 10)
    assert shop.computed() == 5
    assert shop.computed() == 0
    shop.buys("a", 60, 1)
    shop.change("UPDATE customers.transactions SET amount = 1 WHERE profile_id = 'b'")
    shop.change("DELETE FROM customers.transactions WHERE profile_id = 'c'")
    shop.change("UPDATE customers.cdp_profiles SET closed_reason = 'removed', closed_at = now() WHERE profile_id = 'd'")
    shop.change("UPDATE customers.cdp_profiles SET first_name = 'Nam' WHERE profile_id = 'e'")
    # d is closed: nothing is computed for it, and its row is gone.
    assert shop.computed() == 3
    found = {row[0]: row[-2] for row in shop.stored()}
    assert found == {"a": "happy", "b": "target", "c": "prospective", "e": "happy"}


def test_a_purchase_that_goes_to_another_customer_touches_both(shop: Shop):
    for name in "ab":
        shop.customer(name)
    shop.buys("a", 120, 10)
    shop.computed()
    shop.change("UPDATE customers.transactions SET profile_id = 'b'")
    assert shop.computed() == 2
    assert [(row[0], row[1]) for row in shop.stored()] == [("a", "XXX"), ("b", "USD")]


@pytest.mark.parametrize(("bought", "border"), [(-2, 0), (20, 30), (80, 90)])
def test_time_alone_touches_whoever_crosses_a_border(shop: Shop, bought: int, border: int):
    for name in "ab":
        shop.customer(name)
    shop.buys("a", 120, bought)
    shop.buys("b", 120, 50)
    shop.computed()
    crossing = AS_OF + timedelta(days=border - bought)
    assert shop.computed(crossing - timedelta(seconds=1)) == 0
    before = shop.stored()
    assert shop.computed(crossing + timedelta(seconds=1)) == 1
    assert shop.stored() != before
    incremental = shop.stored()
    shop.refresh(crossing + timedelta(seconds=1))
    assert shop.stored() == incremental


def test_another_configuration_concerns_all(shop: Shop):
    for name in "ab":
        shop.customer(name)
    shop.computed()
    shop.change("INSERT INTO customers.tenant_metrics_config (tenant_id, cac) VALUES ('acme', 60)")
    assert shop.computed() == 2
    shop.change("UPDATE customers.tenant_metrics_config SET cac = 70")
    assert shop.computed() == 2
    shop.change("DELETE FROM customers.tenant_metrics_config")
    assert shop.computed() == 2
    assert shop.computed() == 0


def test_a_moment_before_the_last_one_is_computed_in_full(shop: Shop):
    shop.customer("a")
    shop.buys("a", 120, 10)
    shop.computed(AS_OF + timedelta(days=100))
    assert shop.computed(AS_OF) == 1
    assert shop.stored()[0][-2] == "happy"


def test_who_is_touched_while_a_refresh_runs_is_computed_by_the_next(shop: Shop, warehouse: Warehouse):
    shop.customer("a")
    shop.computed()
    with connect(warehouse.settings) as other:
        with tenant_transaction(other, "acme"):
            other.execute(
                "INSERT INTO customers.transactions (tenant_id, line_id, profile_id, amount, currency, occurred_at,"
                " segment_ids, asset_group_ids, document, document_hash)"
                " VALUES ('acme', 'late', 'a', 120, 'USD', %s, '[]', '[]', '{}', '')",
                [AS_OF - timedelta(days=1)],
            )
            assert shop.computed() == 0
        assert shop.computed() == 1


def test_an_audit_finds_what_is_not_as_computed(shop: Shop):
    for name in "abc":
        shop.customer(name)
        shop.buys(name, 120, 10)
    metrics.refresh(shop.connection, "acme")
    assert metrics.audit(shop.connection, "acme") == (3, 0)
    shop.change("UPDATE customers.customer_metrics SET clv_est = 1 WHERE profile_id = 'a'")
    shop.change("DELETE FROM customers.customer_metrics WHERE profile_id = 'b'")
    assert metrics.audit(shop.connection, "acme") == (3, 2)
    # Whoever was touched meanwhile is the next refresh's business.
    shop.buys("a", 120, 10)
    assert metrics.audit(shop.connection, "acme") == (2, 1)


CUSTOMERS = st.sampled_from("abcd")
DAYS = st.one_of(st.integers(-5, 130), st.sampled_from([0, 30, 90]))
STEPS = st.one_of(
    st.tuples(
        st.just("buys"), CUSTOMERS, st.sampled_from([0, 15, 120, -20]), DAYS, st.sampled_from(["USD", "VND", None])
    ),
    st.tuples(st.just("changes"), st.integers(1, 12), st.sampled_from([0, 33, 500])),
    st.tuples(st.just("moves"), st.integers(1, 12), CUSTOMERS),
    st.tuples(st.just("removes"), st.integers(1, 12)),
    st.tuples(st.just("closes"), CUSTOMERS),
    st.tuples(st.just("opens"), CUSTOMERS),
    st.tuples(st.just("values"), st.sampled_from([5, 60])),
    st.tuples(st.just("waits"), st.integers(0, 40)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(st.lists(STEPS, max_size=6), min_size=1, max_size=5))
def test_an_incremental_refresh_leaves_what_a_full_one_leaves(shop: Shop, rounds: list[list[tuple[Any, ...]]]):
    for table in ("transactions", "cdp_profiles", "tenant_metrics_config", "customer_metrics", "metrics_refresh"):
        shop.change(f"DELETE FROM customers.{table}")
    shop.lines, as_of = 0, AS_OF
    for name in "abcd":
        shop.customer(name)
    for steps in rounds:
        for step in steps:
            match step:
                case "buys", name, amount, days, currency:
                    shop.buys(name, amount, days, currency=currency, order_id=f"o{shop.lines // 2}")
                case "changes", line, amount:
                    shop.change(f"UPDATE customers.transactions SET amount = {amount} WHERE line_id = 'l{line}'")
                case "moves", line, name:
                    shop.change(f"UPDATE customers.transactions SET profile_id = '{name}' WHERE line_id = 'l{line}'")
                case "removes", line:
                    shop.change(f"DELETE FROM customers.transactions WHERE line_id = 'l{line}'")
                case "closes", name:
                    closed = "closed_at = now(), closed_reason = 'deleted'"
                    shop.change(f"UPDATE customers.cdp_profiles SET {closed} WHERE profile_id = '{name}'")
                case "opens", name:
                    opened = "closed_at = NULL, closed_reason = NULL"
                    shop.change(f"UPDATE customers.cdp_profiles SET {opened} WHERE profile_id = '{name}'")
                case "values", cac:
                    insert = "INSERT INTO customers.tenant_metrics_config (tenant_id, cac)"
                    shop.change(
                        f"{insert} VALUES ('acme', {cac}) ON CONFLICT (tenant_id, currency) DO UPDATE SET cac = {cac}"
                    )
                case "waits", days:
                    as_of += timedelta(days=days)
        shop.computed(as_of)
        # A refresh would start afresh: each incremental one builds on the one before.
        assert [row[:-1] for row in shop.stored()] == shop.figures(as_of)
