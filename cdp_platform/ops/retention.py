"""How long records are kept that nobody needs for ever.

A room lists what it keeps for a time in its ``retention.py``, as `Kept`: a query finds the rows that are old enough and
that nothing refers to any more. A dry run counts the rows of that query, and a deletion deletes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql

from cdp_platform.settings import RetentionSettings
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

BATCH_ROWS = 5_000
"""Rows that one transaction deletes."""

MOST_ROWS = 500_000
"""Rows of one tenant and table that one call deletes. The next call deletes the rest."""


@dataclass(frozen=True)
class Kept:
    """A kind of rows that is kept for a time.

    Attributes:
        table: schema and name.
        days: how long a row is kept, in days.
        old: query of ``ctid`` of the rows of ``%(tenant)s`` that are older than ``%(until)s`` and may go.
    """

    table: str
    days: int
    old: sql.SQL


@dataclass(frozen=True)
class RetentionResult:
    """The result for one table of one tenant.

    Attributes:
        table: schema and name.
        days: as of `Kept`.
        due: number of rows that are past their time.
        deleted: number of those that were deleted; 0 in a dry run.
    """

    table: str
    days: int
    due: int
    deleted: int


def shared(settings: RetentionSettings) -> Sequence[Kept]:
    """The rows in schema ``ops`` that are kept for a time."""
    return (
        Kept("ops.rejected_record", settings.rejected_retention_days, statement("ops", "old_rejected_records")),
        Kept("ops.reconciliation", settings.reconciliation_retention_days, statement("ops", "old_reconciliations")),
    )


def clean(
    connection: psycopg.Connection,
    tenant_id: str,
    kept: Sequence[Kept],
    *,
    dry_run: bool,
    most: int = MOST_ROWS,
) -> list[RetentionResult]:
    """Delete what is past its time, of one tenant, in batches with a transaction each.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant_id: the tenant.
        kept: what is kept how long, by table in the order of deletion.
        dry_run: count and delete nothing.
        most: rows of one table that are deleted at most.
    """
    found = []
    for each in kept:
        values = {"tenant": tenant_id, "until": datetime.now(UTC) - timedelta(days=each.days)}
        with tenant_transaction(connection, tenant_id):
            (due,) = connection.execute(
                sql.SQL("SELECT count(*) FROM ({}) AS o").format(each.old), values
            ).fetchone() or (0,)
        deleted = 0
        while not dry_run and deleted < min(due, most):
            with tenant_transaction(connection, tenant_id):
                batch = _delete(connection, each, {**values, "at_most": min(BATCH_ROWS, most - deleted)})
            deleted += batch
            if not batch:
                break
        found.append(RetentionResult(each.table, each.days, due, deleted))
    return found


def _delete(connection: psycopg.Connection, kept: Kept, values: dict[str, object]) -> int:
    query = sql.SQL("DELETE FROM {} WHERE tenant_id = %(tenant)s AND ctid = ANY (ARRAY({} LIMIT %(at_most)s))")
    return connection.execute(query.format(sql.Identifier(*kept.table.split(".")), kept.old), values).rowcount
