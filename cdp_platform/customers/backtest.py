"""Fits the models on the data up to a day, and compares the expected spend with the days after it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import psycopg

from cdp_platform import frames
from cdp_platform.customers.purchase_models import Floats
from cdp_platform.customers.value import CurrencyModel, collect_and_expect, day_end
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class Prediction:
    """One way's predictions for the customers of a currency, compared with what they did.

    Attributes:
        spend: sum over customers, in units of currency.
        error: spend / actual spend - 1; None if nothing was spent.
        top_tenth_share: share of the actual spend by the tenth of customers with the greatest predictions.
        none_share: share of the actual spend by customers with a prediction of zero.
    """

    spend: float
    error: float | None
    top_tenth_share: float | None
    none_share: float | None


@dataclass(frozen=True)
class BacktestResult:
    """The predictions for one currency and the actual spend.

    Attributes:
        customers: number of customers with a purchase until the day.
        actual_spend: their spend in the days after, refunds included, in units of currency.
        model: None if no model could be fitted; ``fitted`` says why.
        older: predictions by the assumption of ``clv_est``, that the last 90 days go on.
    """

    currency: str
    until: date
    days: int
    customers: int
    actual_spend: float
    fitted: CurrencyModel
    model: Prediction | None
    older: Prediction


def backtest(connection: psycopg.Connection, tenant: Tenant, until: date, days: int) -> list[BacktestResult]:
    """Predict the spend of the days after a day, by currency, from the data up to the end of that day.

    Changes nothing. Profiles are used as they are now, and their orders as they were then.

    Raises:
        ConfigurationError: the days to predict are not over yet, or nobody had bought anything.
    """
    begin, end = day_end(tenant, until), day_end(tenant, until + timedelta(days=days))
    if end.until > datetime.now(UTC):
        raise ConfigurationError(
            f"The {days} days after {until} end on {end.day}, which is not over: "
            "take an earlier --until or fewer --days."
        )
    with tenant_transaction(connection, tenant.tenant_id):
        fitted = {model.currency: model for model in collect_and_expect(connection, tenant, begin, days=days)}
        customers = frames.query(
            statement("customers", "value_backtest"),
            tenant=tenant.tenant_id,
            parameters={"tenant": tenant.tenant_id, "until": begin.until, "end": end.until, "days": days},
            floats=True,
            connection=connection,
        )
    if customers.empty:
        raise ConfigurationError(
            f"Tenant {tenant.tenant_id} has no purchase with a currency until {until}: take a later --until, or run "
            f"`cdp sync --tenant {tenant.tenant_id}` first."
        )
    return [
        _compare(fitted[str(currency)], until, days, **{name: spend[name].to_numpy(float) for name in spend.columns})
        for currency, spend in customers.set_index("currency").groupby("currency")
    ]


def _compare(
    fitted: CurrencyModel, until: date, days: int, *, expected: Floats, older: Floats, actual: Floats
) -> BacktestResult:
    has_model = fitted.spend is not None
    return BacktestResult(
        currency=fitted.currency,
        until=until,
        days=days,
        customers=len(actual),
        actual_spend=float(actual.sum()),
        fitted=fitted,
        # Customers without a dated purchase have no expectation.
        model=_judge(np.nan_to_num(expected), actual) if has_model else None,
        older=_judge(older, actual),
    )


def _judge(predicted: Floats, actual: Floats) -> Prediction:
    total = float(actual.sum())
    best = np.argsort(-predicted, kind="stable")[: max(1, len(predicted) // 10)]
    if total <= 0:
        return Prediction(float(predicted.sum()), None, None, None)
    return Prediction(
        spend=float(predicted.sum()),
        error=float(predicted.sum()) / total - 1,
        top_tenth_share=float(actual[best].sum()) / total,
        none_share=float(actual[predicted <= 0].sum()) / total,
    )
