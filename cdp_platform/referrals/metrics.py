"""Clicks and signups per link and day: ``referrals.daily_metrics``.

A day is a whole day of the tenant's time zone. An event counts for the day on which it happened, however late it came,
and then its day is counted again. A signup counts for its own day and not for the day of its click. Flagged events
(fraud score above 7) have figures of their own and are in no other figure.

The rate is signups / clicks x 100, and 0 without clicks. The rate of several days or links is that of their sums
(weighted). Only the SQL function ``referrals.click_to_signup_rate`` (migration 0008) computes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg.rows import class_row

from cdp_platform.ops import locks
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class CountResult:
    """The result of counting.

    Attributes:
        days: the days that were counted, as half-open stretches (first, end).
        changed: the days whose figures differ from before.
    """

    days: list[tuple[date, date]]
    changed: set[date]


@dataclass(frozen=True)
class Totals:
    """The figures of some days together.

    Attributes:
        rows: one per link and day.
        click_to_signup_rate: per cent, weighted.
    """

    rows: int
    clicks: int
    signups: int
    flagged_clicks: int
    flagged_signups: int
    click_to_signup_rate: float


@dataclass(frozen=True)
class Audit:
    """Events and figures of the same days.

    Attributes:
        events: of the days that no event touched since they were counted.
        counted: the sum of the figures of those days, flagged ones included.
        days_touched: days that are left out, since they are to be counted again.
    """

    events: int
    counted: int
    days_touched: int


def count_days(connection: psycopg.Connection, tenant: Tenant, first: date, end: date) -> CountResult:
    """Count these days again, ``end`` not among them. Writes only rows whose figures changed.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant: the owner of the links.
        first: the first day, in the tenant's time zone.
        end: the day after the last.
    """
    with tenant_transaction(connection, tenant.tenant_id):
        locks.take(connection, locks.referral_days(tenant.tenant_id))
        _use_zone(connection, tenant)
        # Before the count: a quarter that is touched after this statement stays touched.
        connection.execute(statement("referrals", "forget_touched_days"), _names(tenant, first, end))
        return _count(connection, tenant, [(first, end)])


def count_touched(connection: psycopg.Connection, tenant: Tenant) -> CountResult:
    """Count those days again whose events changed since they were counted.

    Runs inside a transaction of the tenant; afterwards the figures agree with every event that this transaction sees.
    The caller holds the lock `locks.referral_days`, and took it before a snapshot.
    """
    _use_zone(connection, tenant)
    stretches = connection.execute(
        statement("referrals", "take_touched_days"), {"tenant": tenant.tenant_id, "zone": tenant.time_zone}
    ).fetchall()
    return _count(connection, tenant, stretches)


def totals(connection: psycopg.Connection, tenant: Tenant, first: date, end: date) -> Totals:
    """The stored totals of these days, without ``end``."""
    with tenant_transaction(connection, tenant.tenant_id), connection.cursor(row_factory=class_row(Totals)) as cursor:
        found = cursor.execute(statement("referrals", "day_totals"), _names(tenant, first, end)).fetchone()
    assert found is not None  # noqa: S101 (an aggregate: one row always)
    return found


def audit(connection: psycopg.Connection, tenant: Tenant, first: date, end: date) -> Audit:
    """Compare what is stored of these days, ``end`` not among them, with the events themselves."""
    with tenant_transaction(connection, tenant.tenant_id), connection.cursor(row_factory=class_row(Audit)) as cursor:
        found = cursor.execute(statement("referrals", "audit_days"), _names(tenant, first, end)).fetchone()
    assert found is not None  # noqa: S101 (a query without FROM: one row always)
    return found


def _names(tenant: Tenant, first: date, end: date) -> dict[str, str | date]:
    return {"tenant": tenant.tenant_id, "zone": tenant.time_zone, "first": first, "end": end}


def _count(connection: psycopg.Connection, tenant: Tenant, stretches: Sequence[tuple[date, date]]) -> CountResult:
    changed: set[date] = set()
    for first, end in stretches:
        rows = connection.execute(
            "SELECT * FROM referrals.count_days(%(tenant)s, %(zone)s, %(first)s, %(end)s)", _names(tenant, first, end)
        ).fetchall()
        changed |= {day for (day,) in rows}
    return CountResult(list(stretches), changed)


def _use_zone(connection: psycopg.Connection, tenant: Tenant) -> None:
    """In a new time zone every day has other limits, so all days are counted again."""
    names = {"tenant": tenant.tenant_id, "zone": tenant.time_zone}
    query = "SELECT time_zone FROM referrals.metrics_zone WHERE tenant_id = %(tenant)s"
    before = connection.execute(query, names).fetchone()
    if before == (tenant.time_zone,):
        return
    connection.execute(
        "INSERT INTO referrals.metrics_zone (tenant_id, time_zone) VALUES (%(tenant)s, %(zone)s)"
        " ON CONFLICT (tenant_id) DO UPDATE SET time_zone = excluded.time_zone",
        names,
    )
    if before is not None:
        connection.execute("DELETE FROM referrals.daily_metrics WHERE tenant_id = %(tenant)s", names)
        connection.execute(statement("referrals", "touch_all_quarters"), names)
