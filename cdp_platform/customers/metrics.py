"""Simple figures of what customers are worth: ``customers.customer_metrics``.

The formulas are in the SQL function ``customers.customer_figures`` (migration 0011), set-based and per currency. Their
source is the ETL that this room replaces, whose example rows are tests. ``clv_est`` assumes that the last 90 days go on
for years; `value` has an estimate that was compared with what customers did later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from cdp_platform.ops import erasure
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class MetricsResult:
    """The result of a refresh, and the content of the table after it.

    Attributes:
        computed: customers whose figures were computed.
        rows: one per open profile and currency.
        segments: how many rows are in each segment.
    """

    computed: int
    rows: int
    segments: dict[str, int]


def refresh(connection: psycopg.Connection, tenant_id: str, *, full: bool = False) -> MetricsResult:
    """Compute the metrics of a tenant as of now. Writes only rows whose figures changed.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant_id: the tenant of the customers.
        full: compute all customers, not only those whose figures can have changed since the last refresh.
    """
    with tenant_transaction(connection, tenant_id):
        erasure.while_nobody_is_erased(connection, tenant_id)
        (computed,) = _row(
            connection, "SELECT customers.refresh_customer_metrics(%s, now(), %s)", [tenant_id, not full]
        )
        segments = connection.execute(
            "SELECT segment, number FROM customers.metrics_segment WHERE tenant_id = %s AND number > 0 ORDER BY 1",
            [tenant_id],
        ).fetchall()
    counts = dict(segments)
    return MetricsResult(computed, sum(counts.values()), counts)


def audit(connection: psycopg.Connection, tenant_id: str, *, sample: int = 200) -> tuple[int, int]:
    """Compute a random sample of customers again, as of the last refresh.

    Returns:
        The number of rows that were compared, and of those that differ from the stored ones. Customers that changed
        since the last refresh are left out.
    """
    with tenant_transaction(connection, tenant_id):
        compared, differing = _row(
            connection, statement("customers", "metrics_audit"), {"tenant": tenant_id, "sample": sample}
        )
    return compared, differing


def _row(
    connection: psycopg.Connection, query: LiteralString | sql.SQL, parameters: Sequence[Any] | Mapping[str, Any]
) -> Any:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None  # noqa: S101 (a function or an aggregate: one row always)
    return row
