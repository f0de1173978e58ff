"""What a customer is worth: the figures of ``customers.customer_metrics``.

The formulae live in the SQL function ``customers.refresh_customer_metrics`` (migration 0002), set-based and per
currency. Their source is the ETL that this room takes over; its worked rows are the golden tests.
"""

from dataclasses import dataclass

import psycopg

from cdp_platform.warehouse.connection import tenant_transaction


@dataclass(frozen=True)
class MetricsResult:
    """What a refresh left: rows (one per open profile and currency), and how many are in each segment."""

    rows: int
    segments: dict[str, int]


def refresh(connection: psycopg.Connection, tenant_id: str) -> MetricsResult:
    """Recompute all metrics of a tenant as of now. Writes only rows whose figures changed."""
    with tenant_transaction(connection, tenant_id):
        connection.execute("SELECT customers.refresh_customer_metrics(%s)", [tenant_id])
        segments = connection.execute(
            "SELECT segment, count(*) FROM customers.customer_metrics WHERE tenant_id = %s GROUP BY segment ORDER BY 1",
            [tenant_id],
        ).fetchall()
    counts = dict(segments)
    return MetricsResult(sum(counts.values()), counts)
