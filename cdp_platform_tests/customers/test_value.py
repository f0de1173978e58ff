"""What customers are worth: by the published models, in one currency, and with a reason where there is no figure."""

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import psycopg
import pytest

from cdp_platform.customers import backtest as backtests
from cdp_platform.customers import value
from cdp_platform.customers.purchase_models import NoModelError, PurchaseModel, SpendModel, fit_purchases, fit_spend
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.customers import cdnow
from cdp_platform_tests.customers.cdnow import Purchase

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PUBLISHED = PurchaseModel(r=0.243, alpha=4.414, a=0.793, b=2.426)


def rows(connection: psycopg.Connection, tenant: Tenant, query: str) -> list[tuple[Any, ...]]:
    with tenant_transaction(connection, tenant.tenant_id):
        return connection.execute(query).fetchall()


def change(connection: psycopg.Connection, tenant: Tenant, statement: str) -> None:
    with tenant_transaction(connection, tenant.tenant_id):
        connection.execute(statement)


def before(days: int) -> date:
    return NOW.date() - timedelta(days=days)


def random_shop(customers: int, *, seed: int = 1, days: int = 400) -> Iterable[Purchase]:
    """Customers who come back at rates of their own, pay differently, and leave at some time."""
    rng = np.random.default_rng(seed)
    for number in range(customers):
        gap, leaves = 7 / rng.gamma(0.5, 0.1), rng.beta(0.8, 2.4)
        price = 5 / rng.gamma(3.7, 0.1)
        day = rng.uniform(0, days)
        while day < days:
            yield Purchase(f"c{number}", before(int(days - day)), Decimal(f"{price * rng.gamma(6, 1) / 6:.2f}"))
            if rng.random() < leaves:
                break
            day += 1 + rng.exponential(gap)


def test_the_fit_gives_the_published_parameters(app: psycopg.Connection):
    """Fader, Hardie, Lee (2005), and Fader, Hardie (2013): 39 weeks of 2,357 customers."""
    tenant = cdnow.load(app, "tenth", cdnow.tenth())
    (model,) = value.refresh(app, tenant, now=datetime(1997, 9, 30, 23, tzinfo=UTC)).models
    assert (model.customers, model.repeat_customers, model.reason) == (2357, 946, None)
    found = {name: round(number or 0, 3) for name, number in model.parameters().items()}
    assert [found[name] for name in ("r", "alpha", "a", "b")] == [0.243, 4.414, 0.793, 2.426]
    assert [round(found[name], 2) for name in ("p", "q", "gamma")] == [6.25, 3.74, 15.44]
    stored = rows(app, tenant, "SELECT currency, r, alpha, a, b, p, q, gamma, reason FROM customers.value_model")
    assert stored == [("USD", *model.parameters().values(), None)]


def test_an_expectation_is_as_the_paper_has_it():
    """Customer 1 of the tenth bought twice again, the last time in week 30.43 of 38.86: 1.226 in the next 39 weeks."""
    one = [np.array([number]) for number in (2.0, 30.43, 38.86)]
    assert PUBLISHED.expected_purchases(*one, 39.0)[0] == pytest.approx(1.226, abs=5e-4)
    assert PUBLISHED.probability_alive(*one)[0] == pytest.approx(0.7266, abs=5e-4)


def test_an_expectation_is_what_such_customers_do_on_average():
    """A simulation that does not use the formula: asked after 20 weeks, compared with the 15 weeks that follow."""
    rng = np.random.default_rng(3)
    customers, age, weeks = 400_000, 20.0, 15.0
    rate, leaves = rng.gamma(PUBLISHED.r, 1 / PUBLISHED.alpha, customers), rng.beta(PUBLISHED.a, PUBLISHED.b, customers)
    bought, later, last, alive = (np.zeros(customers) for _ in range(4))
    at, alive = np.zeros(customers), np.ones(customers, dtype=bool)
    while alive.any():
        at[alive] += rng.exponential(1 / rate[alive])
        alive &= at < age + weeks
        in_sight = alive & (at <= age)
        bought[in_sight] += 1
        last[in_sight] = at[in_sight]
        later[alive & (at > age)] += 1
        alive &= rng.random(customers) > leaves
    expected = PUBLISHED.expected_purchases(bought, last, np.full(customers, age), weeks)
    for x in range(4):
        alike = bought == x
        error = later[alike].std() / math.sqrt(alike.sum())
        assert expected[alike].mean() == pytest.approx(later[alike].mean(), abs=4 * error), x


def test_hundreds_of_purchases_and_a_of_one_have_an_expectation():
    many = [np.array(column) for column in ([5.0, 900.0, 5000.0], [100.0] * 3, [100.0] * 3)]
    expected = PUBLISHED.expected_purchases(*many, 52.0)
    assert np.isfinite(expected).all()
    assert (np.diff(expected) > 0).all()
    # Five purchases in half a week, by customers of whom nearly all leave after one: the next is the last.
    one = [np.array([number]) for number in (5.0, 0.49, 0.49)]
    assert 0 < PurchaseModel(0.0216, 0.0512, 324.0, 0.177).expected_purchases(*one, 52.0)[0] < 1.02
    beside, at_one = (PurchaseModel(0.25, 4.5, a, 2.4).expected_purchases(*many, 52.0) for a in (1.0001, 1.0))
    assert at_one == pytest.approx(beside, rel=1e-3)


def test_the_amounts_of_another_currency_scale_the_spend_model_and_nothing_else():
    rng = np.random.default_rng(5)
    frequency = rng.integers(1, 9, 30_000).astype(float)
    mean = rng.gamma(6 * frequency) / frequency / rng.gamma(3.7, 1 / 15, 30_000)
    dollars, dong = fit_spend(frequency, mean), fit_spend(frequency, mean * 25_000)
    assert (dong.p, dong.q, dong.gamma) == pytest.approx((dollars.p, dollars.q, dollars.gamma * 25_000), rel=1e-4)
    assert (dollars.p, dollars.q, dollars.gamma) == pytest.approx((6, 3.7, 15), rel=0.1)


def test_data_without_a_best_model_are_refused():
    with pytest.raises(NoModelError, match="no maximum"):
        fit_spend(np.full(500, 2.0), np.full(500, 10.0))
    rng = np.random.default_rng(7)
    with pytest.raises(NoModelError, match="mean would be infinite"):
        fit_spend(np.full(3_000, 3.0), rng.gamma(6, 1, 3_000) / rng.gamma(0.6, 1, 3_000))
    # Everybody comes each week, and nobody leaves.
    with pytest.raises(NoModelError, match="no maximum"):
        fit_purchases(np.full(500, 50.0), np.full(500, 50.0), np.full(500, 50.0))


def test_a_backtest_on_cdnow_is_within_its_bars(app: psycopg.Connection):
    tenant = cdnow.load(app, "cdnow", cdnow.purchases())
    (found,) = backtests.backtest(app, tenant, date(1997, 12, 31), 181)
    assert found.customers == 23_570
    assert found.actual_spend == pytest.approx(476_154.37)
    model, older = found.model, found.older
    assert model is not None
    assert abs(model.error or 1) < 0.05
    assert (model.top_tenth_share or 0) >= 0.56
    # What the assumption of clv_est makes of the same customers.
    assert (older.error, older.top_tenth_share, older.none_share) == pytest.approx((0.22, 0.528, 0.366), abs=0.005)


def test_figures_are_of_each_customer_and_currency_to_the_cent(app: psycopg.Connection):
    bought = [
        Purchase("a", before(40), Decimal("10.10")),
        Purchase("a", before(10), Decimal("20.20")),
        Purchase("b", before(5), Decimal("7.77")),
        Purchase("b", before(-5), Decimal("99.99")),
    ]
    tenant = cdnow.load(app, "acme", bought)
    change(app, tenant, "UPDATE customers.transactions SET currency = 'VND' WHERE amount = 7.77")
    result = value.refresh(app, tenant, now=NOW)
    assert (result.rows, result.written) == (2, 2)
    found = rows(
        app,
        tenant,
        "SELECT profile_id, currency, orders, spend, first_purchase::date, last_purchase::date, as_of"
        " FROM customers.customer_value ORDER BY 1, 2",
    )
    assert found == [
        ("a", "USD", 2, Decimal("30.30"), before(40), before(10), NOW.date()),
        ("b", "VND", 1, Decimal("7.77"), before(5), before(5), NOW.date()),
    ]


def test_too_few_customers_have_no_expectation_and_a_reason(app: psycopg.Connection):
    tenant = cdnow.load(app, "acme", [Purchase(f"c{number}", before(number), Decimal(10)) for number in range(9)])
    result = value.refresh(app, tenant, now=NOW)
    assert "USD: no model, because 9 customers are too few: 100 are needed" in result.note()
    expected = (
        "SELECT DISTINCT expected_orders_365d, expected_spend_365d, probability_alive FROM customers.customer_value"
    )
    assert rows(app, tenant, expected) == [(None, None, None)]
    assert rows(app, tenant, "SELECT customers, repeat_customers, r, p, reason FROM customers.value_model") == [
        (9, 0, None, None, "no model, because 9 customers are too few: 100 are needed")
    ]


def test_customers_who_never_come_back_have_no_expectation_and_a_reason(app: psycopg.Connection):
    bought = [Purchase(f"c{number}", before(number), Decimal(10)) for number in range(200)]
    tenant = cdnow.load(app, "acme", [*bought, *bought])
    (model,) = value.refresh(app, tenant, now=NOW).models
    # Twice on one day is one day.
    assert (model.customers, model.repeat_customers) == (200, 0)
    assert model.reason == "no model, because only 0 customers bought on more than one day: 30 are needed"
    assert rows(app, tenant, "SELECT DISTINCT orders FROM customers.customer_value") == [(2,)]


def test_one_price_for_all_has_expected_orders_and_a_reason_for_no_spend(app: psycopg.Connection):
    tenant = cdnow.load(app, "acme", [each._replace(dollars=Decimal(10)) for each in random_shop(400)])
    (model,) = value.refresh(app, tenant, now=NOW).models
    assert model.purchases
    assert (model.spend, "no expected spend" in str(model.reason)) == (None, True)
    ((orders, spends),) = rows(
        app, tenant, "SELECT count(expected_orders_365d), count(expected_spend_365d) FROM customers.customer_value"
    )
    assert (orders, spends) == (model.customers, 0)


def test_amounts_without_a_currency_are_not_added_and_not_expected(app: psycopg.Connection):
    tenant = cdnow.load(app, "acme", random_shop(300))
    change(app, tenant, "UPDATE customers.transactions SET currency = NULL")
    (model,) = value.refresh(app, tenant, now=NOW).models
    assert (model.currency, model.reason) == ("XXX", "no model, because these amounts have no currency")
    found = "SELECT count(*) > 250, count(spend), count(monetary_score), min(orders) FROM customers.customer_value"
    assert rows(app, tenant, found) == [(True, 0, 0, 1)]
    with pytest.raises(ConfigurationError, match="no purchase with a currency"):
        backtests.backtest(app, tenant, before(100), 50)


def test_expectations_follow_the_history(app: psycopg.Connection):
    regular = [Purchase("regular", before(7 * week), Decimal(40)) for week in range(40)]
    gone = [Purchase("gone", before(7 * week), Decimal(40)) for week in range(30, 60)]
    tenant = cdnow.load(app, "acme", [*random_shop(600), *regular, *gone])
    result = value.refresh(app, tenant, now=NOW)
    assert result.note() == ""
    found = {
        row[0]: row[1:]
        for row in rows(
            app,
            tenant,
            "SELECT profile_id, probability_alive, expected_orders_365d, expected_spend_365d"
            " FROM customers.customer_value WHERE profile_id IN ('regular', 'gone')",
        )
    }
    assert found["regular"][0] > 0.9
    assert found["gone"][0] < 0.01
    assert 20 < found["regular"][1] < 53
    assert float(found["regular"][2] / 40) == pytest.approx(found["regular"][1], rel=0.1)
    assert rows(
        app,
        tenant,
        "SELECT count(*) FROM customers.customer_value WHERE expected_spend_365d IS NULL OR expected_spend_365d < 0",
    ) == [(0,)]


def test_quintiles_are_equal_for_equal_customers_and_of_one_currency(app: psycopg.Connection):
    bought = [Purchase(f"c{n}", before(100 - 10 * n), Decimal(10 * n + 10)) for n in range(10)]
    dong = [Purchase(f"v{n}", before(3), Decimal(1_000_000)) for n in range(5)]
    tenant = cdnow.load(app, "acme", [*bought, *bought[5:], *dong])
    change(app, tenant, "UPDATE customers.transactions SET currency = 'VND' WHERE profile_id LIKE 'v%'")
    value.refresh(app, tenant, now=NOW)
    found = rows(
        app,
        tenant,
        "SELECT recency_score, frequency_score, monetary_score FROM customers.customer_value"
        " WHERE currency = 'USD' ORDER BY profile_id",
    )
    assert found == [(1 + n // 2, 1 if n < 5 else 3, 1 + n // 2) for n in range(10)]
    assert rows(
        app,
        tenant,
        "SELECT DISTINCT recency_score, frequency_score, monetary_score FROM customers.customer_value"
        " WHERE currency = 'VND'",
    ) == [(1, 1, 1)]


def test_refunds_lower_the_spend_and_are_no_purchases(app: psycopg.Connection):
    bought = [
        *(Purchase("own", before(days), Decimal(dollars)) for days, dollars in [(40, 100), (20, 50), (5, -30)]),
        *(Purchase("whole", before(days), Decimal(dollars)) for days, dollars in [(30, 80), (10, -80)]),
    ]
    tenant = cdnow.load(app, "acme", bought)
    change(app, tenant, "UPDATE customers.transactions SET order_id = 'o1' WHERE profile_id = 'whole'")
    value.refresh(app, tenant, now=NOW)
    found = rows(
        app,
        tenant,
        "SELECT profile_id, orders, spend, last_purchase::date, frequency_score FROM customers.customer_value"
        " ORDER BY 1",
    )
    assert found == [("own", 2, Decimal(120), before(20), 1), ("whole", 0, Decimal(0), None, None)]
    (model,) = rows(app, tenant, "SELECT customers, repeat_customers FROM customers.value_model")
    assert model == (1, 1)


def test_a_backtest_knows_no_refund_that_comes_later(app: psycopg.Connection):
    bought = [*random_shop(400), Purchase("late", before(200), Decimal(90)), Purchase("late", before(50), Decimal(-90))]
    tenant = cdnow.load(app, "acme", bought)
    change(app, tenant, "UPDATE customers.transactions SET order_id = 'o1' WHERE profile_id = 'late'")
    (found,) = backtests.backtest(app, tenant, before(100), 90)
    known = {each.customer for each in bought if each.day <= before(100)}
    assert "late" in known
    assert found.customers == len(known)
    spent = sum(e.dollars for e in bought if before(100) < e.day <= before(10) and e.customer in known)
    assert Decimal(str(round(found.actual_spend, 2))) == spent


def test_a_backtest_of_days_that_are_not_over_is_refused(app: psycopg.Connection):
    tenant = cdnow.load(app, "acme", random_shop(10))
    with pytest.raises(ConfigurationError, match="is not over"):
        backtests.backtest(app, tenant, datetime.now(UTC).date(), 30)


@pytest.mark.parametrize(("days", "ended"), [(90, False), (91, True)])
def test_a_tenant_whose_data_ended_is_computed_as_of_then(app: psycopg.Connection, days: int, *, ended: bool):
    tenant = cdnow.load(app, "acme", random_shop(300))
    change(app, tenant, f"DELETE FROM customers.transactions WHERE occurred_at > '{before(10)}'")
    change(app, tenant, f"UPDATE customers.transactions SET occurred_at = '{before(10)}' WHERE line_id = 'l1'")
    now = datetime.combine(before(10), datetime.min.time(), UTC) + timedelta(days=days)
    result = value.refresh(app, tenant, now=now)
    assert result.moment.data_ended == ended
    assert result.moment.day == (before(10) if ended else now.date())
    assert result.note() == (
        f"customer value: computed as of {before(10)}, the day of the last transaction" if ended else ""
    )
    assert rows(app, tenant, "SELECT DISTINCT as_of, data_ended FROM customers.value_model") == [
        (result.moment.day, ended)
    ]


def test_a_second_refresh_of_a_day_writes_nothing_and_a_purchase_is_seen(app: psycopg.Connection):
    tenant = cdnow.load(app, "acme", random_shop(300))
    first = value.refresh(app, tenant, now=NOW)
    assert first.written == first.rows > 250
    again = value.refresh(app, tenant, now=NOW + timedelta(hours=3))
    assert (again.rows, again.written) == (first.rows, 0)
    change(app, tenant, "UPDATE customers.transactions SET amount = amount + 1 WHERE line_id = 'l1'")
    assert value.refresh(app, tenant, now=NOW).written > 0
    change(app, tenant, "UPDATE customers.cdp_profiles SET closed_reason = 'merged', closed_at = now()")
    gone = value.refresh(app, tenant, now=NOW)
    assert (gone.rows, gone.models) == (0, [])
    for table in ("customer_value", "value_model"):
        assert rows(app, tenant, f"SELECT count(*) FROM customers.{table}") == [(0,)]


def test_days_are_those_of_the_tenant(app: psycopg.Connection):
    """23:30 and 00:30 in Ho Chi Minh City are two days, and one in UTC."""
    tenant = cdnow.load(app, "acme", [Purchase("a", before(3), Decimal(1)), Purchase("a", before(3), Decimal(2))])
    change(app, tenant, "UPDATE customers.transactions SET occurred_at = '2026-02-20 16:30Z' WHERE amount = 1")
    change(app, tenant, "UPDATE customers.transactions SET occurred_at = '2026-02-20 17:30Z' WHERE amount = 2")
    found = []
    for zone in ("UTC", "Asia/Ho_Chi_Minh"):
        there = Tenant("acme", "acme", "active", "acme", {"time_zone": zone})
        (model,) = value.refresh(app, there, now=NOW).models
        found.append(model.repeat_customers)
    assert found == [0, 1]


def test_who_is_erased_while_values_are_computed_gets_no_row(app: psycopg.Connection, monkeypatch: pytest.MonkeyPatch):
    tenant = cdnow.load(app, "acme", random_shop(200))
    original = value.fit

    def erase_meanwhile(statistics: value.Statistics) -> value.CurrencyModel:
        # The tombstone of an erasure that ended after the rows were read.
        app.execute(
            "INSERT INTO ops.erased_document (tenant_id, source, document_key) VALUES ('acme', 'cdp_profile', 'c1')"
        )
        return original(statistics)

    monkeypatch.setattr(value, "fit", erase_meanwhile)
    value.refresh(app, tenant, now=NOW)
    assert rows(app, tenant, "SELECT count(*) FROM customers.customer_value WHERE profile_id = 'c1'") == [(0,)]
    assert rows(app, tenant, "SELECT count(*) > 150 FROM customers.customer_value") == [(True,)]


def test_expected_mean_is_between_the_own_mean_and_that_of_all():
    model = SpendModel(6.25, 3.74, 15.44)
    of_nobody, of_few, of_many = model.expected_mean(np.array([0.0, 1.0, 100.0]), np.array([0.0, 100.0, 100.0]))
    assert of_nobody == pytest.approx(6.25 * 15.44 / 2.74)
    assert of_nobody < of_few < of_many < 100
