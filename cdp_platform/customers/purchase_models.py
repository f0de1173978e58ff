"""Models of how often customers will buy and for how much: BG/NBD and Gamma-Gamma, fitted by maximum likelihood.

Sources: P. Fader, B. Hardie, K. L. Lee, "Counting Your Customers the Easy Way: An Alternative to the Pareto/NBD Model",
Marketing Science 24(2), 2005 (BG/NBD); P. Fader, B. Hardie, "The Gamma-Gamma Model of Monetary Value", 2013. Time is in
weeks, as in the papers. Functions take and return arrays; they know neither connections nor currencies.

No package is used: `lifetimes` and its successor `btyd` are no longer maintained, and `pymc-marketing` depends on a
sampler and a compiler.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Parameters are searched between exp(-_BOUND) and exp(_BOUND). A maximum at one of these bounds counts as no maximum.
_BOUND = 12.0
# The likelihood may have several maxima. The search starts at each of these multiples of a first guess, on a sample of
# `_SAMPLE` customers; the best result is the start of the search with all customers.
_STARTS = (1.0, 0.2, 5.0)
_SAMPLE = 20_000
_NO_MAXIMUM = "the likelihood has no maximum"


class NoModelError(Exception):
    """The model does not fit the data; the message is the end of a sentence that says why."""


@dataclass(frozen=True)
class PurchaseModel:
    """BG/NBD: when customers buy, and after which purchase they leave.

    Attributes:
        r: shape of the gamma distribution of purchases per week over customers.
        alpha: rate of that distribution, in weeks.
        a: first parameter of the beta distribution of the probability of leaving after a purchase.
        b: second parameter of that distribution.
    """

    r: float
    alpha: float
    a: float
    b: float

    def probability_alive(self, frequency: Floats, recency: Floats, age: Floats) -> Floats:
        """The probability that each customer has not left; 1 for customers with a single purchase.

        Args:
            frequency: repeat purchases, that is, purchases after the first.
            recency: weeks from the first purchase to the last.
            age: weeks from the first purchase to the moment in question.
        """
        from scipy.special import expit  # noqa: PLC0415 (0.2 s)

        # The odds of having left.
        odds = np.full(len(frequency), -np.inf)
        again = frequency > 0
        x = frequency[again]
        odds[again] = (
            np.log(self.a)
            - np.log(self.b + x - 1)
            + (self.r + x) * (np.log(self.alpha + age[again]) - np.log(self.alpha + recency[again]))
        )
        return expit(-odds)

    def expected_purchases(self, frequency: Floats, recency: Floats, age: Floats, weeks: float) -> Floats:
        """The expected number of purchases of each customer in the next weeks; equation (10) of the paper."""
        from scipy.special import hyp2f1  # noqa: PLC0415

        # At a = 1 the formula is 0 / 0 and has a limit; a value next to 1 gives that limit.
        a = self.a if abs(self.a - 1) > 1e-6 else 1 + 1e-6
        # Computed once for all customers with the same frequency and age.
        (x, age_of_pair), of_pair, _ = _groups(frequency, age)
        z = weeks / (self.alpha + age_of_pair + weeks)
        # The paper's (1 - z) ** (r + x) * 2F1(r + x, b + x; a + b + x - 1; z) by Euler's transformation: without it the
        # two factors are outside the range of floats for customers with hundreds of purchases.
        with np.errstate(over="ignore", invalid="ignore"):
            remaining = (1 - z) ** (a - 1) * hyp2f1(a - 1, a + self.b - 1 - self.r, a + self.b + x - 1, z)
            # The product is 0 times infinity if a is in the hundreds: then every customer leaves at once, and the limit
            # is 0.
            remaining = np.nan_to_num(remaining, nan=0.0)
            if_alive = (a + self.b + x - 1) / (a - 1) * (1 - remaining)
        return if_alive[of_pair] * self.probability_alive(frequency, recency, age)


@dataclass(frozen=True)
class SpendModel:
    """Gamma-Gamma: how much customers pay for one purchase.

    Attributes:
        p: shape of the gamma distribution of a customer's purchases.
        q: shape of the gamma distribution, over customers, of its rate.
        gamma: rate of that distribution, in units of currency.
    """

    p: float
    q: float
    gamma: float

    def expected_mean(self, frequency: Floats, mean: Floats) -> Floats:
        """The expected spend per purchase of each customer, between its own mean and the mean of all.

        Args:
            frequency: number of purchases behind the mean; 0 if there is none.
            mean: mean spend per purchase so far; ignored if the frequency is 0.
        """
        return self.p * (self.gamma + frequency * mean) / (self.p * frequency + self.q - 1)


def fit_purchases(frequency: Floats, recency: Floats, age: Floats) -> PurchaseModel:
    """The BG/NBD model with the greatest likelihood for these customers.

    Args:
        frequency: repeat purchases of each customer.
        recency: weeks from its first purchase to its last; 0 without a repeat purchase.
        age: weeks from its first purchase to the end of the observation.

    Raises:
        NoModelError: there is no maximum.
    """
    guess = [0.5, max(float(age.mean()) / 4, 0.1), 0.5, 2.0]
    return PurchaseModel(*_maximum(_likelihood_of_purchases, guess, frequency, recency, age))


def fit_spend(frequency: Floats, mean: Floats) -> SpendModel:
    """The Gamma-Gamma model with the greatest likelihood for these means.

    Args:
        frequency: number of purchases behind each customer's mean, at least 1.
        mean: mean spend per purchase, above 0.

    Raises:
        NoModelError: there is no maximum, for example if all purchases cost the same; or the mean over customers is
            infinite.
    """
    # In units of the mean over all customers, so that the numbers are alike for dong and for dollars.
    scale = float(mean.mean())
    p, q, gamma = _maximum(_likelihood_of_spend, [2.0, 3.0, 1.0], frequency, mean / scale)
    if q <= 1:
        raise NoModelError("a few amounts are so large that the mean would be infinite")
    return SpendModel(p, q, gamma * scale)


Likelihood = Callable[[Floats], tuple[float, Floats]]
"""Takes the logarithms of the parameters; returns minus the mean log-likelihood per customer, and its gradient."""


def _likelihood_of_purchases(frequency: Floats, recency: Floats, age: Floats) -> Likelihood:
    from scipy.special import gammaln, psi  # noqa: PLC0415

    # Identical customers are computed once, with a weight. Terms that depend on the frequency alone are computed per
    # frequency.
    (x, t_x, t), _, weight = _groups(frequency, recency, age)
    (counts,), _, with_count = _groups(frequency)
    total = float(len(frequency))
    again = x > 0
    before = np.maximum(x, 1) - 1

    def negative(parameters: Floats) -> tuple[float, Floats]:
        r, alpha, a, b = np.exp(parameters)
        log_t, log_t_x = np.log(alpha + t), np.log(alpha + t_x)
        # A customer without a purchase since the last one either has not bought yet or has left.
        silent = -(r + x) * log_t
        left = np.where(again, np.log(a) - np.log(b + before) - (r + x) * log_t_x, -np.inf)
        either = np.logaddexp(silent, left)
        p_left = weight * np.exp(left - either)
        p_silent = weight - p_left
        by_count = (
            *(gammaln(r + counts), -gammaln(r), r * np.log(alpha)),
            *(gammaln(a + b), gammaln(b + counts), -gammaln(b), -gammaln(a + b + counts)),
        )
        both = psi(a + b) - psi(a + b + counts)
        gradient = [
            with_count @ (psi(r + counts) - psi(r) + np.log(alpha)) - p_silent @ log_t - p_left @ log_t_x,
            total * r / alpha - (r + x) @ (p_silent / (alpha + t) + p_left / (alpha + t_x)),
            with_count @ both + p_left.sum() / a,
            with_count @ (both + psi(b + counts) - psi(b)) - (p_left / (b + before)).sum(),
        ]
        likelihood = with_count @ sum(by_count) + weight @ either
        return -likelihood / total, -np.array(gradient) * np.exp(parameters) / total

    return negative


def _likelihood_of_spend(x: Floats, mean: Floats) -> Likelihood:
    from scipy.special import gammaln, psi  # noqa: PLC0415

    (counts,), _, with_count = _groups(x)
    total = float(len(x))
    spent = x * mean
    sum_log_spent, sum_log_mean = float(x @ np.log(spent)), float(np.log(mean).sum())

    def negative(parameters: Floats) -> tuple[float, Floats]:
        p, q, gamma = np.exp(parameters)
        log_sum = np.log(gamma + spent)
        by_count = gammaln(p * counts + q) - gammaln(p * counts) - gammaln(q) + q * np.log(gamma)
        likelihood = with_count @ by_count + p * sum_log_spent - sum_log_mean - (p * x + q) @ log_sum
        digamma = psi(p * counts + q)
        gradient = [
            with_count @ (counts * (digamma - psi(p * counts))) + sum_log_spent - x @ log_sum,
            with_count @ (digamma - psi(q) + np.log(gamma)) - log_sum.sum(),
            total * q / gamma - ((p * x + q) / (gamma + spent)).sum(),
        ]
        return -likelihood / total, -np.array(gradient) * np.exp(parameters) / total

    return negative


def _maximum(likelihood: Callable[..., Likelihood], guess: list[float], *columns: Floats) -> list[float]:
    """The parameters, all above 0, with the greatest likelihood for the customers of these columns."""
    from scipy.optimize import minimize  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    def climb(negative: Likelihood, start: Floats) -> Any:
        options = {"maxiter": 1_000, "ftol": 1e-14, "gtol": 1e-7}
        bounds = [(-_BOUND, _BOUND)] * len(start)
        return minimize(negative, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)

    step = -(-len(columns[0]) // _SAMPLE)
    sample = likelihood(*(column[::step] for column in columns))
    # One thread, because several take ten times as long when other processes use the processors too.
    with threadpool_limits(1, user_api="blas"):
        starts = [climb(sample, np.log(guess) + np.log(factor)) for factor in _STARTS]
        best = min((each for each in starts if np.isfinite(each.fun)), key=lambda each: each.fun, default=None)
        if best is None:
            raise NoModelError(_NO_MAXIMUM)
        whole = likelihood(*columns)
        found = climb(whole, best.x).x
        _, gradient = whole(found)
    if np.abs(found).max() > _BOUND - 0.01 or not np.abs(gradient).max() < 1e-5:
        raise NoModelError(_NO_MAXIMUM)
    return [float(each) for each in np.exp(found)]


def _groups(*columns: Floats) -> tuple[list[Floats], npt.NDArray[np.intp], Floats]:
    """The different rows of these columns as columns, the place of each row among them, and how often each occurs.

    The same as `numpy.unique` with an axis, ten times as fast.
    """
    order = np.lexsort(columns)
    ordered = [column[order] for column in columns]
    new = np.zeros(len(order), dtype=bool)
    new[:1] = True
    for column in ordered:
        new[1:] |= column[1:] != column[:-1]
    places = np.empty(len(order), dtype=np.intp)
    places[order] = np.cumsum(new) - 1
    starts = np.flatnonzero(new)
    weights = np.diff(starts, append=len(order)).astype(float)
    return [column[starts] for column in ordered], places, weights
