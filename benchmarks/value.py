"""Measures how long it takes to fit the models of value and apply them to a million customers.

The customers are generated: everybody buys at a rate of its own, pays prices of its own and leaves at some time. They
come as the warehouse hands them over: days with a repeat purchase, weeks to the last one, weeks to now, mean spend. All
of it runs on one core, whose own seconds are held to the bar: other programs do not change them.

    python -m benchmarks.value [--customers N] [--rounds N] [--json]
"""

import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from benchmarks.reporting import Bar, arguments, finish, narrate
from cdp_platform.customers.purchase_models import Floats, PurchaseModel, SpendModel, fit_purchases, fit_spend

_PURCHASES = PurchaseModel(r=0.25, alpha=4.5, a=0.8, b=2.4)
_SPEND = SpendModel(p=6.25, q=3.74, gamma=15.44)
_DAYS = 730
FIT_PURCHASES, FIT_SPEND, EXPECT = "fit BG/NBD", "fit Gamma-Gamma", "expect a year of each customer"


def _customers(number: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Frequency, recency, age and mean spend of customers that both models describe; whole days, in weeks."""
    rng = np.random.default_rng(1)
    age = rng.integers(0, _DAYS, number) / 7
    rate = rng.gamma(_PURCHASES.r, 1 / _PURCHASES.alpha, number)
    leaves = rng.beta(_PURCHASES.a, _PURCHASES.b, number)
    frequency, recency, at = np.zeros(number), np.zeros(number), np.zeros(number)
    alive = np.ones(number, dtype=bool)
    while alive.any():
        # No two purchases on one day.
        at[alive] += np.ceil(7 * rng.exponential(1 / rate[alive])) / 7
        alive &= at <= age
        frequency[alive] += 1
        recency[alive] = at[alive]
        alive &= rng.random(number) > leaves
    shape = _SPEND.p * np.maximum(frequency, 1)
    mean = rng.gamma(shape) / np.maximum(frequency, 1) / rng.gamma(_SPEND.q, 1 / _SPEND.gamma, number)
    return frequency, recency, age, mean


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000, help="how many there are")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    given = parser.parse_args()
    narrate("making customers")
    frequency, recency, age, mean = _customers(given.customers)
    again = frequency > 0
    seconds: dict[str, list[tuple[float, float]]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        narrate(f"  {name}")
        began, busy = time.perf_counter(), time.process_time()
        made = work()
        seconds.setdefault(name, []).append((time.perf_counter() - began, time.process_time() - busy))
        return made

    def expect() -> Floats:
        spend = expected_spend.expected_mean(frequency, mean)
        purchases.probability_alive(frequency, recency, age)
        return purchases.expected_purchases(frequency, recency, age, 365 / 7) * spend

    for number in range(1, given.rounds + 1):
        narrate(f"round {number} of {given.rounds}")
        purchases = timed(FIT_PURCHASES, lambda: fit_purchases(frequency, recency, age))
        expected_spend = timed(FIT_SPEND, lambda: fit_spend(frequency[again], mean[again]))
        timed(EXPECT, expect)
    took = {name: [median(column) for column in zip(*each, strict=True)] for name, each in seconds.items()}
    busy = sum(each for _, each in took.values())
    # Whole days move the rate a little; the other parameters have to come back as they were.
    found = {**vars(purchases), **vars(expected_spend)}
    planted = {**vars(_PURCHASES), **vars(_SPEND)}
    off = max(abs(found[name] / planted[name] - 1) for name in ("a", "b", "p", "q"))
    return finish(
        f"{given.customers:,} customers, {int(again.sum()):,} of whom came again, median of {given.rounds} rounds",
        [
            {"step": name, "seconds": round(passed, 2), "seconds of one core": round(each, 2)}
            for name, (passed, each) in took.items()
        ],
        [
            Bar("all, seconds of one core per million customers", busy / given.customers * 1e6, 10, at_least=False),
            Bar("parameters, relative to those planted", off, 0.1, at_least=False),
        ],
        as_json=given.as_json,
    )


if __name__ == "__main__":
    sys.exit(main())
