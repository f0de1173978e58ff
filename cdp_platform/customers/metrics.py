"""What a customer is worth: the figures of ``customers.customer_metrics``.

The formulae live in the SQL function ``customers.customer_figures`` (migration 0011), set-based and per currency.
Their source is the ETL that this room takes over; its worked rows are the golden tests. ``clv_est`` takes the last 90
days for the years to come; `value` has an estimate that was tested against what customers did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

from cdp_platform.ops import erasure
from cdp_platform.warehouse.connection import tenant_transaction


@dataclass(frozen=True)
class MetricsResult:
    """What a refresh did and left.

    Attributes:
        computed: customers whose figures were computed.
        rows: one per open profile and currency.
        segments: how many rows are in each segment.
    """

    computed: int
    rows: int
    segments: dict[str, int]


def refresh(connection: psycopg.Connection, tenant_id: str, *, full: bool = False) -> MetricsResult:
    """Bring the metrics of a tenant to the present. Writes only rows whose figures changed.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant_id: whose customers they are.
        full: compute all customers, not only those whose figures can have changed since the last refresh.
    """
    with tenant_transaction(connection, tenant_id):
        erasure.while_nobody_is_erased(connection, tenant_id)
        (computed,) = _row(
            connection, "SELECT customers.refresh_customer_metrics(%s, now(), %s)", [tenant_id, not full]
        )
        segments = connection.execute(
            "SELECT segment, count(*) FROM customers.customer_metrics WHERE tenant_id = %s GROUP BY segment ORDER BY 1",
            [tenant_id],
        ).fetchall()
    counts = dict(segments)
    return MetricsResult(computed, sum(counts.values()), counts)


def audit(connection: psycopg.Connection, tenant_id: str, *, sample: int = 200) -> tuple[int, int]:
    """Compute a random sample of customers anew, as of the last refresh.

    Returns:
        How many rows were compared, and how many of those differ from what is stored. Customers that changed since the
        last refresh are left out.
    """
    with tenant_transaction(connection, tenant_id):
        compared, differing = _row(
            connection,
            """
            WITH asked AS MATERIALIZED (
                SELECT array_agg(profile_id) AS profile_ids FROM (
                    SELECT profile_id FROM customers.cdp_profiles
                    WHERE tenant_id = %(tenant)s AND profile_id NOT IN (
                        SELECT profile_id FROM customers.touched_customer WHERE tenant_id = %(tenant)s)
                    ORDER BY random() LIMIT %(sample)s) AS drawn
            ),
            fresh AS (
                SELECT f.* FROM customers.metrics_refresh AS r, asked,
                    customers.customer_figures(%(tenant)s, r.as_of, coalesce(asked.profile_ids, '{}')) AS f
                WHERE r.tenant_id = %(tenant)s
            ),
            stored AS (
                SELECT m.* FROM customers.customer_metrics AS m, asked, customers.metrics_refresh AS r
                WHERE m.tenant_id = %(tenant)s AND r.tenant_id = %(tenant)s AND m.profile_id = ANY (asked.profile_ids)
            )
            SELECT count(*), count(*) FILTER (WHERE
                (f.last_purchase, f.freq_90d, f.avg_order_value, f.monetary_90d, f.clv_est, f.experience_score,
                 f.segment)
                IS DISTINCT FROM
                (s.last_purchase, s.freq_90d, s.avg_order_value, s.monetary_90d, s.clv_est, s.experience_score,
                 s.segment))
            FROM fresh AS f FULL JOIN stored AS s USING (profile_id, currency)
            """,
            {"tenant": tenant_id, "sample": sample},
        )
    return compared, differing


def _row(connection: psycopg.Connection, query: LiteralString, parameters: Sequence[Any] | Mapping[str, Any]) -> Any:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None  # noqa: S101 (a function or an aggregate: one row always)
    return row
