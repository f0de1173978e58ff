"""The effect of marketing events in money: purchases of those who were to have a message against those held out.

Grain of ``campaigns.effect``: one row per event, kind of holdout and currency. Revenue is the amount of
``customers.orders``, net of refunds, in the `DAYS` days after the audience was frozen (with ``local_time``: after the
first start of a person). Each one's purchases of the `DAYS_BEFORE` days before adjust it (`statistics`). Treated are
all who were to have the message, sent or not: whom it reached is no matter of chance.

There are two kinds of holdout. Those whom the event itself held out show what this event did. Those whom the tenant
holds out of every event show what all messages of these days did. An erased person is on neither side, and is counted.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from cdp_platform.ops import addresses
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

if TYPE_CHECKING:
    from cdp_platform.campaigns.statistics import Difference, Side

DAYS = 7
DAYS_BEFORE = 90
_MEASURED = timedelta(days=DAYS)
# So long after its days an event is measured again: orders and refunds come late.
_SETTLED_AFTER = timedelta(days=30)

Holdout: TypeAlias = Literal["event", "global"]
Verdict: TypeAlias = Literal["more", "less", "no_difference", "too_few", "too_early"]


@dataclass(frozen=True)
class Effect:
    """One row of ``campaigns.effect``; its columns say what the attributes mean."""

    event_id: str
    holdout: Holdout
    currency: str
    treated: int
    held_out: int
    erased: int
    treated_buyers: int
    held_out_buyers: int
    treated_mean: float
    held_out_mean: float
    difference: float | None
    low: float | None
    high: float | None
    total: float | None
    verdict: Verdict
    buyers_needed: int | None
    people_needed: int | None
    measured_until: datetime


@dataclass(frozen=True)
class EffectResult:
    """The result of measuring a tenant's events.

    Attributes:
        events: events that were measured.
        effects: rows that were written.
        verdicts: how many of them have each verdict.
    """

    events: int
    effects: int
    verdicts: dict[Verdict, int]


def measure(
    connection: psycopg.Connection, tenant_id: str, event_id: str | None = None, *, now: datetime | None = None
) -> list[Effect]:
    """Measure one event, or every event that held somebody out; changes nothing.

    An event of which nobody bought anything before or after has no effect in any currency, and none in the list.

    Args:
        connection: of the platform's role.
        tenant_id: whose events.
        event_id: the event; None for all.
        now: the moment of the measurement; the present by default.
    """
    moment = now or datetime.now(UTC)
    with tenant_transaction(connection, tenant_id):
        events = _events(connection, tenant_id, event_id)
        return [effect for each, began in events for effect in _effects(connection, tenant_id, each, began, moment)]


def refresh(connection: psycopg.Connection, tenant: Tenant, *, now: datetime | None = None) -> EffectResult:
    """Measure the events that can still change, and write their effects.

    Each event is a transaction of its own. After `_SETTLED_AFTER` an effect stays as it is, whoever is deleted then.
    """
    moment = now or datetime.now(UTC)
    with tenant_transaction(connection, tenant.tenant_id):
        events = _events(connection, tenant.tenant_id, None)
    measured = [(event_id, began) for event_id, began in events if began + _MEASURED + _SETTLED_AFTER > moment]
    found: list[Effect] = []
    for event_id, began in measured:
        with tenant_transaction(connection, tenant.tenant_id):
            effects = _effects(connection, tenant.tenant_id, event_id, began, moment)
            _write(connection, tenant.tenant_id, event_id, effects)
        found += effects
    verdicts = [effect.verdict for effect in found]
    return EffectResult(len(measured), len(found), {each: verdicts.count(each) for each in sorted(set(verdicts))})


def listed(connection: psycopg.Connection, tenant_id: str, event_id: str | None = None) -> list[Effect]:
    """The effects that are written down, of one event or of all."""
    query = statement("campaigns", "effects").format(columns=_COLUMNS)
    with tenant_transaction(connection, tenant_id), connection.cursor(row_factory=class_row(Effect)) as cursor:
        return cursor.execute(query, {"tenant": tenant_id, "event": event_id}).fetchall()


_COLUMNS = sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(Effect))


def _events(connection: psycopg.Connection, tenant_id: str, event_id: str | None) -> list[tuple[str, datetime]]:
    """Events that held somebody out, each with the moment from which purchases count."""
    names = {"tenant": tenant_id, "event": event_id}
    return connection.execute(statement("campaigns", "effect_events"), names).fetchall()


def _effects(
    connection: psycopg.Connection, tenant_id: str, event_id: str, began: datetime, moment: datetime
) -> list[Effect]:
    from cdp_platform.campaigns import statistics  # noqa: PLC0415 (numpy, which only this needs)

    effects, until = [], began + _MEASURED
    for (holdout, currency), (treated, held_out, erased) in _sides(connection, tenant_id, event_id, began).items():
        compared = None if until > moment else statistics.compare(treated, held_out)
        found = compared if isinstance(compared, statistics.Difference) else None
        needed = compared if isinstance(compared, statistics.TooFew) else None
        effects.append(
            Effect(
                event_id=event_id,
                holdout=holdout,
                currency=currency,
                treated=treated.people,
                held_out=held_out.people,
                erased=erased,
                treated_buyers=treated.buyers,
                held_out_buyers=held_out.buyers,
                treated_mean=treated.mean,
                held_out_mean=held_out.mean,
                difference=found.estimate if found else None,
                low=found.low if found else None,
                high=found.high if found else None,
                total=found.estimate * treated.people if found else None,
                verdict="too_early" if until > moment else _verdict(found),
                buyers_needed=needed.buyers if needed else None,
                people_needed=needed.people if needed else None,
                measured_until=until,
            )
        )
    return effects


def _sides(
    connection: psycopg.Connection, tenant_id: str, event_id: str, began: datetime
) -> "dict[tuple[Holdout, str], tuple[Side, Side, int]]":
    """By kind of holdout and currency: the treated, those held out, and the number of erased people of both."""
    import numpy as np  # noqa: PLC0415

    from cdp_platform.campaigns.statistics import Side  # noqa: PLC0415

    names = {
        "tenant": tenant_id,
        "event": event_id,
        "salt": addresses.salt_of(connection, tenant_id),
        "began": began,
        "after": _MEASURED,
        "before": timedelta(days=DAYS_BEFORE),
    }
    people: Counter[tuple[Holdout, bool]] = Counter()
    erased: Counter[Holdout] = Counter()
    bought: dict[tuple[Holdout, str], tuple[list[float], ...]] = {}
    for holdout, held_out, currency, number, gone, after, before in connection.execute(
        statement("campaigns", "effect_people"), names
    ):
        if currency is None:
            people[holdout, held_out] += number
            erased[holdout] += gone
        else:
            columns = bought.setdefault((holdout, currency), ([], [], [], []))
            columns[2 * held_out].append(after)
            columns[2 * held_out + 1].append(before)
    return {
        (holdout, currency): (
            Side(people[holdout, False], np.array(columns[0]), np.array(columns[1])),
            Side(people[holdout, True], np.array(columns[2]), np.array(columns[3])),
            erased[holdout],
        )
        for (holdout, currency), columns in sorted(bought.items())
    }


def _verdict(found: "Difference | None") -> Verdict:
    if found is None:
        return "too_few"
    if found.low > 0:
        return "more"
    return "less" if found.high < 0 else "no_difference"


def _write(connection: psycopg.Connection, tenant_id: str, event_id: str, effects: Iterable[Effect]) -> None:
    connection.execute("DELETE FROM campaigns.effect WHERE tenant_id = %s AND event_id = %s", [tenant_id, event_id])
    query = sql.SQL("INSERT INTO campaigns.effect (tenant_id, {}) VALUES (%s, {})").format(
        _COLUMNS, sql.SQL(", ").join(sql.Placeholder() * len(fields(Effect)))
    )
    with connection.cursor() as cursor:
        cursor.executemany(query, [(tenant_id, *astuple(effect)) for effect in effects])
