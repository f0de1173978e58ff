"""The interval of an effect holds the truth as often as it says, where few buy and some buy much."""

import math

import numpy as np
import pytest

from cdp_platform.campaigns.statistics import BUYERS_NEEDED, Difference, Floats, Side, TooFew, compare
from cdp_platform_tests.customers import cdnow

_CAMPAIGNS = 1000


def _people(rng: np.random.Generator, people: int, rate: float, spread: float, *, lift: float, raised: float) -> Side:
    """Customers who each buy at a rate of their own (gamma) and at a level of their own (log-normal).

    Args:
        rng: random numbers.
        people: how many there are.
        rate: purchases per person in the days that are measured, without a message.
        spread: standard deviation of the logarithm of an amount.
        lift: share by which a message makes them buy more often.
        raised: share by which it raises what they spend.
    """
    own_rate = rng.gamma(1, rate, people)
    after, before = rng.poisson(own_rate * (1 + lift)), rng.poisson(own_rate * 90 / 7)
    some = np.flatnonzero(after + before)
    level = rng.normal(0, 0.6 * spread, some.size)

    def revenue(purchases: np.ndarray) -> Floats:
        return purchases[some] * 30 * np.exp(level + rng.normal(0, 0.8 * spread, some.size))

    return Side(people, revenue(after) * (1 + raised), revenue(before))


@pytest.mark.parametrize(
    ("treated", "held_out", "rate", "spread", "lift", "raised"),
    [
        pytest.param(4000, 400, 0.12, 1.0, 0.2, 0.0, id="400 held out"),
        pytest.param(4000, 4000, 0.03, 1.3, 0.3, 0.0, id="as many held out as treated"),
        pytest.param(10_000, 2000, 0.03, 1.3, 0.0, 0.0, id="no effect and heavy tails"),
        pytest.param(8000, 1000, 0.06, 1.2, 1.0, 0.0, id="twice as many buy"),
        pytest.param(8000, 1000, 0.06, 1.0, 0.0, 0.4, id="buyers spend more"),
        pytest.param(2000, 8000, 0.04, 1.2, 0.2, 0.1, id="most are held out"),
    ],
)
def test_the_interval_holds_the_true_effect_in_93_to_97_percent_of_campaigns(  # noqa: PLR0917 (of parametrize)
    treated: int, held_out: int, rate: float, spread: float, lift: float, raised: float
) -> None:
    rng = np.random.default_rng(7)
    truth = 30 * rate * math.exp(spread**2 / 2) * ((1 + lift) * (1 + raised) - 1)
    verdicts = [
        compare(
            _people(rng, treated, rate, spread, lift=lift, raised=raised),
            _people(rng, held_out, rate, spread, lift=0, raised=0),
        )
        for _ in range(_CAMPAIGNS)
    ]
    given = [each for each in verdicts if isinstance(each, Difference)]
    assert len(given) > _CAMPAIGNS / 2
    assert 0.93 <= np.mean([each.low <= truth <= each.high for each in given]) <= 0.97


def test_random_halves_of_real_customers_show_no_effect() -> None:
    rng = np.random.default_rng(1)
    bought = cdnow.purchases()
    number = {customer: place for place, customer in enumerate({each.customer for each in bought})}
    start = min(each.day for each in bought).toordinal() + 120
    after, before = np.zeros(len(number)), np.zeros(len(number))
    for each in bought:
        days = each.day.toordinal() - start
        if 0 <= days < 7:
            after[number[each.customer]] += float(each.dollars)
        elif -90 <= days < 0:
            before[number[each.customer]] += float(each.dollars)

    def side(chosen: np.ndarray) -> Side:
        some = chosen & ((after != 0) | (before != 0))
        return Side(int(chosen.sum()), after[some], before[some])

    for share in (0.5, 0.1):
        found: list[Difference] = []
        for _ in range(_CAMPAIGNS):
            held_out = rng.random(len(number)) < share
            compared = compare(side(~held_out), side(held_out))
            assert isinstance(compared, Difference)
            found.append(compared)
        assert 0.93 <= np.mean([each.low <= 0 <= each.high for each in found]) <= 0.97


def test_too_few_buyers_give_no_verdict_but_the_number_of_people_it_takes() -> None:
    rng = np.random.default_rng(1)
    treated = _people(rng, 4000, 0.05, 1, lift=0, raised=0)
    few = _people(rng, 300, 0.05, 1, lift=0, raised=0)
    found = compare(treated, few)
    assert isinstance(found, TooFew)
    assert found.buyers == BUYERS_NEEDED
    assert found.people is not None
    assert found.people == pytest.approx(BUYERS_NEEDED / 0.0476, rel=0.2)
    enough = _people(rng, 2 * found.people, 0.05, 1, lift=0, raised=0)
    assert isinstance(compare(treated, enough), Difference)


def test_where_a_few_buyers_spend_most_more_people_are_needed() -> None:
    amounts = np.full(100, 10.0)
    amounts[0] = 10_000
    treated = Side(10_000, np.full(1000, 10.0), np.zeros(1000))
    found = compare(treated, Side(1000, amounts, np.zeros(100)))
    assert isinstance(found, TooFew)
    assert found.buyers > 10 * BUYERS_NEEDED
    assert found.people is not None
    assert found.people > 10_000


def test_nobody_who_buys_gives_no_verdict() -> None:
    nobody = Side(1000, np.zeros(0), np.zeros(0))
    assert compare(nobody, nobody) == TooFew(BUYERS_NEEDED, None)


def test_revenue_before_takes_out_the_luck_of_the_draw() -> None:
    """The same people, of whom more of the great buyers are treated: without an effect, the estimate is near zero."""
    rng = np.random.default_rng(2)
    level = np.exp(rng.normal(3, 1, 4000))
    treats = rng.random(4000) < np.where(level > np.median(level), 0.6, 0.4)

    def side(chosen: np.ndarray) -> Side:
        spent = level[chosen] * np.exp(rng.normal(0, 0.1, chosen.sum()))
        return Side(int(chosen.sum()), spent, 2 * level[chosen])

    treated, held_out = side(treats), side(~treats)
    found = compare(treated, held_out)
    assert isinstance(found, Difference)
    assert abs(found.estimate) < 0.1 * (treated.mean - held_out.mean)


def test_refunds_lower_the_difference() -> None:
    amounts = np.full(100, 50.0)
    refunds = np.concatenate([np.full(90, 50.0), np.full(10, -50.0)])
    plain, refunded = (
        compare(Side(1000, each, np.zeros(100)), Side(1000, amounts, np.zeros(100))) for each in (amounts, refunds)
    )
    assert isinstance(plain, Difference)
    assert isinstance(refunded, Difference)
    assert plain.estimate == pytest.approx(0)
    assert refunded.estimate == pytest.approx(-1)
    assert refunded.low < -1 < refunded.high
