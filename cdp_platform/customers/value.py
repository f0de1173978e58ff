"""Past and expected purchases of customers: ``customers.customer_value``.

Grain: one row per open profile and currency. Orders, spend and RFM scores are computed in SQL, expectations by the
models of `purchase_models`, which are fitted for each tenant and currency. Nothing is added or compared across
currencies. Amounts without a currency have neither spend nor expectation.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import psycopg

from cdp_platform.customers.purchase_models import (
    Floats,
    NoModelError,
    PurchaseModel,
    SpendModel,
    fit_purchases,
    fit_spend,
)
from cdp_platform.ops import locks
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

# With fewer customers, the standard errors of the parameters are as large as the parameters.
MIN_CUSTOMERS = 100
MIN_REPEAT_CUSTOMERS = 30
# After this time without a transaction, a tenant's data is taken as ended, not its customers as lost.
ENDED_AFTER = timedelta(days=90)
HORIZON_DAYS = 365
# ISO 4217's code for no currency.
NO_CURRENCY = "XXX"


@dataclass(frozen=True)
class Moment:
    """The moment that figures are computed for.

    Attributes:
        until: later events are not used.
        day: the day of ``until`` in the tenant's time zone.
        data_ended: the tenant's data ended long before the run; ``until`` is its last transaction.
    """

    until: datetime
    day: date
    data_ended: bool = False


@dataclass(frozen=True)
class CurrencyModel:
    """The models of one currency, or the reason why there are none.

    Attributes:
        customers: number of customers with a dated purchase.
        repeat_customers: number of customers who bought on more than one day.
        reason: why a model is missing; None if both exist.
    """

    currency: str
    customers: int
    repeat_customers: int
    purchases: PurchaseModel | None = None
    spend: SpendModel | None = None
    reason: str | None = None

    def parameters(self) -> dict[str, float | None]:
        """All seven parameters by name, in the order of the papers; None for those of a missing model."""
        known = {**(asdict(self.purchases) if self.purchases else {}), **(asdict(self.spend) if self.spend else {})}
        return {name: known.get(name) for name in ("r", "alpha", "a", "b", "p", "q", "gamma")}


@dataclass(frozen=True)
class ValueResult:
    """The result of a refresh, and the content of the table after it.

    Attributes:
        rows: one per open profile and currency that it has an order in.
        written: rows that were new or whose figures changed.
        models: one per currency.
    """

    moment: Moment
    rows: int
    written: int
    models: list[CurrencyModel]

    def note(self) -> str:
        """Remarks for readers of the figures; may be empty."""
        words = [f"{model.currency}: {model.reason}" for model in self.models if model.reason]
        if self.moment.data_ended:
            words.insert(0, f"computed as of {self.moment.day}, the day of the last transaction")
        return f"customer value: {'; '.join(words)}" if words else ""


@dataclass(frozen=True)
class Statistics:
    """The input of the models: the customers of one currency, as arrays of the same length.

    Attributes:
        number: number of the customer's row in the stage.
        frequency: days with a purchase after the first.
        recency: weeks from the first purchase to the last.
        age: weeks from the first purchase to the moment.
        mean: mean spend per repeat day, in units of currency; 0 without a repeat day.
    """

    currency: str
    number: np.ndarray
    frequency: Floats
    recency: Floats
    age: Floats
    mean: Floats


def refresh(connection: psycopg.Connection, tenant: Tenant, *, now: datetime | None = None) -> ValueResult:
    """Compute the value of a tenant's customers. Writes only rows whose figures changed.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant: the tenant of the customers.
        now: the moment of the run; the present if not given.
    """
    with tenant_transaction(connection, tenant.tenant_id):
        locks.take(connection, locks.value(tenant.tenant_id))
        moment = _moment(connection, tenant, now or datetime.now(UTC))
        models = collect_and_expect(connection, tenant, moment, days=HORIZON_DAYS)
        values = {"tenant": tenant.tenant_id, "day": moment.day}
        rows, written = connection.execute(statement("customers", "value_write"), values).fetchone() or (0, 0)
        connection.execute(
            "DELETE FROM customers.value_model WHERE tenant_id = %s AND currency <> ALL (%s)",
            [tenant.tenant_id, [model.currency for model in models]],
        )
        for model in models:
            figures = {name: getattr(model, name) for name in ("currency", "customers", "repeat_customers", "reason")}
            connection.execute(
                statement("customers", "value_write_model"),
                {**values, **figures, **model.parameters(), "ended": moment.data_ended},
            )
    return ValueResult(moment, rows, written, models)


def collect_and_expect(
    connection: psycopg.Connection, tenant: Tenant, moment: Moment, *, days: int
) -> list[CurrencyModel]:
    """Fill the stage with what each customer has bought until the moment, and is expected to buy in the days after it.

    Args:
        connection: in a transaction of the tenant; the stage is dropped at its end.
        tenant: the tenant of the customers.
        moment: later events are not used.
        days: the length of the time that expectations are for.
    """
    # The stage has no statistics, so PostgreSQL expects one row on each side of a join and would choose quadratic
    # nested loops.
    connection.execute("SET LOCAL enable_nestloop = off")
    connection.execute("SET LOCAL work_mem = '64MB'")
    connection.execute(statement("customers", "value_stage"))
    connection.execute(
        statement("customers", "value_collect"),
        {
            "tenant": tenant.tenant_id,
            "until": moment.until,
            "day": moment.day,
            "zone": tenant.time_zone,
        },
    )
    models = []
    for statistics in _statistics(connection):
        model = fit(statistics)
        models.append(model)
        if model.purchases is not None:
            _expect(connection, statistics, model.purchases, model.spend, days / 7)
    return models


def fit(statistics: Statistics) -> CurrencyModel:
    """Fit the models of one currency, as far as its customers allow it."""
    repeated = statistics.frequency > 0
    paid = repeated & (statistics.mean > 0)
    purchases = spend = None
    reason = _too_little(statistics.currency, len(repeated), int(repeated.sum()), int(paid.sum()))
    if reason is None:
        try:
            purchases = fit_purchases(statistics.frequency, statistics.recency, statistics.age)
            spend = fit_spend(statistics.frequency[paid], statistics.mean[paid])
        except NoModelError as error:
            reason = (
                f"no expected spend, because the amounts do not follow Gamma-Gamma: {error}"
                if purchases
                else f"no model, because the purchases do not follow BG/NBD: {error}"
            )
    return CurrencyModel(statistics.currency, len(repeated), int(repeated.sum()), purchases, spend, reason)


def _too_little(currency: str, customers: int, repeat_customers: int, paying: int) -> str | None:
    """The reason why these customers are too few for the models, or None."""
    if currency == NO_CURRENCY:
        return "no model, because these amounts have no currency"
    if customers < MIN_CUSTOMERS:
        return f"no model, because {customers} customers are too few: {MIN_CUSTOMERS} are needed"
    for number, what in ((repeat_customers, "bought on more than one day"), (paying, "paid for a repeat purchase")):
        if number < MIN_REPEAT_CUSTOMERS:
            return f"no model, because only {number} customers {what}: {MIN_REPEAT_CUSTOMERS} are needed"
    return None


def day_end(tenant: Tenant, day: date) -> Moment:
    """The last moment of a day in the tenant's time zone."""
    midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), ZoneInfo(tenant.time_zone))
    return Moment(midnight.astimezone(UTC) - timedelta(microseconds=1), day)


def _moment(connection: psycopg.Connection, tenant: Tenant, now: datetime) -> Moment:
    """The moment of the run, or of the last transaction if the tenant's data ended long before the run."""
    row = connection.execute(
        "SELECT max(occurred_at) FROM customers.transactions"
        " WHERE tenant_id = %s AND closed_at IS NULL AND occurred_at <= %s",
        [tenant.tenant_id, now],
    ).fetchone()
    last = row[0] if row else None
    ended = last is not None and now - last > ENDED_AFTER
    until = last if ended else now
    return Moment(until, until.astimezone(ZoneInfo(tenant.time_zone)).date(), ended)


def _statistics(connection: psycopg.Connection) -> Iterator[Statistics]:
    rows = connection.execute(statement("customers", "value_statistics"), binary=True).fetchall()
    for currency, number, *columns in rows:
        frequency, recency, age, mean = (np.frombuffer(column or b"", ">f8").astype(float) for column in columns)
        yield Statistics(currency, np.frombuffer(number or b"", ">i4"), frequency, recency / 7, age / 7, mean)


def _expect(
    connection: psycopg.Connection,
    statistics: Statistics,
    purchases: PurchaseModel,
    spend: SpendModel | None,
    weeks: float,
) -> None:
    history = (statistics.frequency, statistics.recency, statistics.age)
    orders = purchases.expected_purchases(*history, weeks)
    alive = purchases.probability_alive(*history)
    # A mean is negative if refunds exceed the repeat purchases.
    means = spend.expected_mean(statistics.frequency, np.maximum(statistics.mean, 0)) * orders if spend else None
    amounts = [None] * len(orders) if means is None else means.tolist()
    with connection.cursor().copy("COPY stage_expectation FROM STDIN (FORMAT BINARY)") as writer:
        writer.set_types(["int4", "float8", "float8", "float8"])
        for row in zip(statistics.number.tolist(), orders.tolist(), amounts, alive.tolist(), strict=True):
            writer.write_row(row)
