"""How long records are kept that nobody needs for ever.

A room lists what it keeps for a time in its ``retention.py``, as `Kept`: a query finds the rows that are old enough and
that nothing refers to any more. A dry run counts the rows of that query, and a deletion deletes them. Dagster's own
tables are listed in `cdp_platform.orchestration.dagster_tables`.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
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
        rows: which rows of the table, if it has several kinds.
    """

    table: str
    days: int
    old: sql.Composable
    rows: str = ""


@dataclass(frozen=True)
class RetentionResult:
    """The result for one table, of one tenant if it belongs to tenants.

    Attributes:
        table: schema and name.
        days: as of `Kept`.
        due: number of rows that are past their time.
        deleted: number of those that were deleted; 0 in a dry run.
        rows: as of `Kept`.
    """

    table: str
    days: int
    due: int
    deleted: int
    rows: str = ""


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
    return [
        clean_table(
            connection,
            each,
            {"tenant": tenant_id, "until": datetime.now(UTC) - timedelta(days=each.days)},
            lambda: tenant_transaction(connection, tenant_id),
            most=0 if dry_run else most,
            only=_OF_TENANT,
        )
        for each in kept
    ]


_OF_TENANT = sql.SQL("tenant_id = %(tenant)s")
_ANY = sql.SQL("true")


def clean_table(
    connection: psycopg.Connection,
    kept: Kept,
    values: Mapping[str, object],
    transaction: Callable[[], AbstractContextManager[object]],
    *,
    most: int,
    only: sql.SQL | None = None,
    batch_rows: int | None = None,
    deadline: float = float("inf"),
) -> RetentionResult:
    """Count the rows of one table that are past their time, and delete them in batches.

    Args:
        connection: outside any transaction.
        kept: what is kept.
        values: of the placeholders of its query.
        transaction: begins the transaction of a batch.
        most: rows that are deleted at most; 0 counts only.
        only: a condition on the table, which picks its partition.
        batch_rows: rows that one transaction deletes; `BATCH_ROWS` if not given.
        deadline: the time of ``time.monotonic()`` after which no batch begins.
    """
    with transaction():
        (due,) = connection.execute(sql.SQL("SELECT count(*) FROM ({}) AS o").format(kept.old), values).fetchone() or (
            0,
        )
    deleted = 0
    query = sql.SQL("DELETE FROM {} WHERE {} AND ctid = ANY (ARRAY({} LIMIT %(at_most)s))").format(
        sql.Identifier(*kept.table.split(".")), only or _ANY, kept.old
    )
    while deleted < min(due, most) and time.monotonic() < deadline:
        with transaction():
            at_most = min(batch_rows or BATCH_ROWS, most - deleted)
            batch = connection.execute(query, {**values, "at_most": at_most}).rowcount
        deleted += batch
        if not batch:
            break
    return RetentionResult(kept.table, kept.days, due, deleted, kept.rows)


def named_runs(connection: psycopg.Connection, tenant_ids: Iterable[str]) -> set[str]:
    """The runs of Dagster that any row of the warehouse names, in a column ``run_id`` or one that ends in ``_run_id``.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant_ids: all tenants, also the retired ones.
    """
    found: set[str] = set()
    everybody = list(tenant_ids)
    for schema, table, column, of_tenants in connection.execute(statement("ops", "run_columns")).fetchall():
        query = sql.SQL("SELECT DISTINCT {}::text FROM {} WHERE {} IS NOT NULL").format(
            sql.Identifier(column), sql.Identifier(schema, table), sql.Identifier(column)
        )
        if not of_tenants:
            found.update(run_id for (run_id,) in connection.execute(query))
            continue
        for tenant_id in everybody:
            with tenant_transaction(connection, tenant_id):
                found.update(run_id for (run_id,) in connection.execute(query))
    return found
