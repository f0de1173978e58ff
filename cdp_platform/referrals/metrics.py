"""Clicks and signups per link and day: ``referrals.daily_metrics``.

A day is a whole day of the tenant's time zone. Events count for the day they happened on, however late they came, and
their day is counted again; a signup counts for its own day and not for its click's. Flagged events, those with a fraud
score above 7, are counted beside the figures and in none of them.

The rate is signups / clicks x 100, 0 without clicks, and of several days or links that of their sums (weighted). It is
said in the SQL function ``referrals.click_to_signup_rate`` (migration 0008) and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg.rows import class_row

from cdp_platform.ops import locks
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction


@dataclass(frozen=True)
class Counted:
    """What counting did.

    Attributes:
        days: those that were counted, as half-open stretches (first, end).
        changed: the days whose figures are others than before.
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


def count_days(connection: psycopg.Connection, tenant: Tenant, first: date, end: date) -> Counted:
    """Count these days again, ``end`` not among them. Writes only rows whose figures changed.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant: whose links they are.
        first: the first day, in the tenant's time zone.
        end: the day after the last.
    """
    zone = tenant.time_zone
    with tenant_transaction(connection, tenant.tenant_id):
        locks.take(connection, locks.referral_days(tenant.tenant_id))
        _use_zone(connection, tenant.tenant_id, zone)
        # First of all: what is touched after this statement stays touched.
        connection.execute(
            "DELETE FROM referrals.touched_quarter WHERE tenant_id = %s"
            " AND (starts_at AT TIME ZONE %s)::date >= %s AND (starts_at AT TIME ZONE %s)::date < %s",
            [tenant.tenant_id, zone, first, zone, end],
        )
        return _count(connection, tenant.tenant_id, zone, [(first, end)])


def count_touched(connection: psycopg.Connection, tenant: Tenant) -> Counted:
    """Count those days again whose events changed since they were counted.

    Inside a transaction of the tenant, which decides what is seen: the figures agree with every event that it sees.
    The caller has the lock `locks.referral_days`, and takes it before a snapshot.
    """
    zone = tenant.time_zone
    _use_zone(connection, tenant.tenant_id, zone)
    stretches = connection.execute(
        """
        WITH touched AS (
            DELETE FROM referrals.touched_quarter WHERE tenant_id = %(tenant)s
            RETURNING (starts_at AT TIME ZONE %(zone)s)::date AS day
        ),
        stretch AS (SELECT unnest(range_agg(daterange(day, day + 1))) AS days FROM touched)
        SELECT lower(days), upper(days) FROM stretch
        """,
        {"tenant": tenant.tenant_id, "zone": zone},
    ).fetchall()
    return _count(connection, tenant.tenant_id, zone, stretches)


def totals(connection: psycopg.Connection, tenant_id: str, first: date, end: date) -> Totals:
    """What is stored of these days, ``end`` not among them."""
    with tenant_transaction(connection, tenant_id), connection.cursor(row_factory=class_row(Totals)) as cursor:
        found = cursor.execute(
            """
            SELECT count(*) AS rows, coalesce(sum(total_clicks), 0)::bigint AS clicks,
                   coalesce(sum(total_signups), 0)::bigint AS signups,
                   coalesce(sum(flagged_clicks), 0)::bigint AS flagged_clicks,
                   coalesce(sum(flagged_signups), 0)::bigint AS flagged_signups,
                   referrals.click_to_signup_rate(
                       coalesce(sum(total_signups), 0)::bigint, coalesce(sum(total_clicks), 0)::bigint
                   )::float8 AS click_to_signup_rate
            FROM referrals.daily_metrics WHERE tenant_id = %s AND metric_date >= %s AND metric_date < %s
            """,
            [tenant_id, first, end],
        ).fetchone()
    assert found is not None  # noqa: S101 (an aggregate: one row always)
    return found


@dataclass(frozen=True)
class Audit:
    """Events and figures of the same days.

    Attributes:
        events: of the days that no event touched since they were counted.
        counted: what the figures of those days add up to, flagged ones too.
        days_touched: days that are left out, since they are to be counted again.
    """

    events: int
    counted: int
    days_touched: int


def audit(connection: psycopg.Connection, tenant: Tenant, first: date, end: date) -> Audit:
    """Compare what is stored of these days, ``end`` not among them, with the events themselves."""
    with tenant_transaction(connection, tenant.tenant_id), connection.cursor(row_factory=class_row(Audit)) as cursor:
        found = cursor.execute(
            """
            WITH touched AS MATERIALIZED (
                SELECT DISTINCT (starts_at AT TIME ZONE %(zone)s)::date AS day
                FROM referrals.touched_quarter WHERE tenant_id = %(tenant)s
            ),
            event AS (
                SELECT (occurred_at AT TIME ZONE %(zone)s)::date AS day, count(*) AS events
                FROM (
                    SELECT occurred_at FROM referrals.click_event WHERE tenant_id = %(tenant)s
                    UNION ALL
                    SELECT occurred_at FROM referrals.signup_event WHERE tenant_id = %(tenant)s
                ) AS either
                WHERE occurred_at >= %(first)s - interval '1 day' AND occurred_at < %(end)s + interval '1 day'
                GROUP BY 1
            )
            SELECT (SELECT coalesce(sum(events), 0)::bigint FROM event
                    WHERE day >= %(first)s AND day < %(end)s AND day NOT IN (SELECT day FROM touched)) AS events,
                   (SELECT coalesce(sum(total_clicks + total_signups + flagged_clicks + flagged_signups), 0)::bigint
                    FROM referrals.daily_metrics
                    WHERE tenant_id = %(tenant)s AND metric_date >= %(first)s AND metric_date < %(end)s
                      AND metric_date NOT IN (SELECT day FROM touched)) AS counted,
                   (SELECT count(*) FROM touched WHERE day >= %(first)s AND day < %(end)s) AS days_touched
            """,
            {"tenant": tenant.tenant_id, "zone": tenant.time_zone, "first": first, "end": end},
        ).fetchone()
    assert found is not None  # noqa: S101 (a query without FROM: one row always)
    return found


def _count(
    connection: psycopg.Connection, tenant_id: str, zone: str, stretches: Sequence[tuple[date, date]]
) -> Counted:
    changed: set[date] = set()
    for first, end in stretches:
        rows = connection.execute(
            "SELECT * FROM referrals.count_days(%s, %s, %s, %s)", [tenant_id, zone, first, end]
        ).fetchall()
        changed |= {day for (day,) in rows}
    return Counted(list(stretches), changed)


def _use_zone(connection: psycopg.Connection, tenant_id: str, zone: str) -> None:
    """In another time zone than before every day is another: count all again."""
    before = connection.execute(
        "SELECT time_zone FROM referrals.metrics_zone WHERE tenant_id = %s", [tenant_id]
    ).fetchone()
    if before == (zone,):
        return
    connection.execute(
        "INSERT INTO referrals.metrics_zone (tenant_id, time_zone) VALUES (%s, %s)"
        " ON CONFLICT (tenant_id) DO UPDATE SET time_zone = excluded.time_zone",
        [tenant_id, zone],
    )
    if before is None:
        return
    connection.execute("DELETE FROM referrals.daily_metrics WHERE tenant_id = %s", [tenant_id])
    connection.execute(
        """
        INSERT INTO referrals.touched_quarter (tenant_id, starts_at)
        SELECT DISTINCT tenant_id, date_bin('15 minutes', occurred_at, 'epoch') FROM (
            SELECT tenant_id, occurred_at FROM referrals.click_event WHERE tenant_id = %(tenant)s
            UNION ALL
            SELECT tenant_id, occurred_at FROM referrals.signup_event WHERE tenant_id = %(tenant)s
        ) AS event
        """,
        {"tenant": tenant_id},
    )
