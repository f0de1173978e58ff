"""How long Dagster's runs, events and logs are kept, which Dagster itself keeps for ever.

A finished run is deleted after a time, except one that something stands on: the status of a partition or of a check, a
row of the warehouse, a retry, a backfill, the key of a sensor. `cdp_platform.orchestration.dagster_tables` has the
rules.
"""

import sys
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg

from cdp_platform.ops.retention import RetentionResult, clean_table
from cdp_platform.orchestration import dagster_tables
from cdp_platform.warehouse.connection import NETWORK_LIMITS

BUDGET_SECONDS = 600
"""Longest time of one call. The next call deletes the rest."""

COMPUTE_LOGS = "compute logs (files)"

# Runs that are looked at once more before they are deleted.
_BATCH_RUNS = 100
# Rows that one transaction deletes. Each batch looks for its rows anew, so small ones would take long.
_BATCH_ROWS = 20_000


def clean(
    instance: dg.DagsterInstance,
    conninfo: str,
    days: int,
    named: Collection[str],
    *,
    dry_run: bool,
    seconds: float = BUDGET_SECONDS,
) -> list[RetentionResult]:
    """Delete what is past its time, until the budget ends; whatever is left is consistent, and due the next time.

    A dry run does not count what becomes due only once the runs are deleted.

    Args:
        instance: whose runs these are.
        conninfo: of its PostgreSQL.
        days: how long they are kept.
        named: ids of runs that the warehouse names, which stay.
        dry_run: count and delete nothing.
        seconds: after which no batch begins.

    Raises:
        ConfigurationError: Dagster's tables are of another revision. Nothing was deleted.
    """
    limit = _Limit(
        days,
        (datetime.now(UTC) - timedelta(days=days)).replace(tzinfo=None),
        time.monotonic() + (0 if dry_run else seconds),
    )
    with psycopg.connect(conninfo, autocommit=True, application_name="cdp_retention", **NETWORK_LIMITS) as connection:
        dagster_tables.require_revision(connection)
        runs = _clean_runs(instance, connection, limit, named)
        rows = [
            clean_table(
                connection,
                each,
                {"until": limit.until},
                connection.transaction,
                most=0 if dry_run else sys.maxsize,
                batch_rows=_BATCH_ROWS,
                deadline=limit.deadline,
            )
            for each in dagster_tables.kept(days)
        ]
    return [runs, *rows, _clean_logs(instance, limit)]


@dataclass(frozen=True)
class _Limit:
    """What is past its time: what is older than ``until`` (in UTC); and when to stop, by ``time.monotonic()``."""

    days: int
    until: datetime
    deadline: float

    @property
    def reached(self) -> bool:
        return time.monotonic() >= self.deadline


def _clean_runs(
    instance: dg.DagsterInstance, connection: psycopg.Connection, limit: _Limit, named: Collection[str]
) -> RetentionResult:
    values = {"until": limit.until, "named": list(named)}
    due = [run_id for (run_id,) in connection.execute(dagster_tables.OLD_RUNS, values)]
    deleted = 0
    for batch in _batches(due):
        if limit.reached:
            break
        looked = {"until": limit.until, "run_ids": batch}
        for (run_id,) in connection.execute(dagster_tables.STILL_OLD_RUNS, looked).fetchall():
            if limit.reached:
                break
            instance.delete_run(run_id)
            deleted += 1
    return RetentionResult("runs", limit.days, len(due), deleted, "with their events")


def _batches(run_ids: Sequence[str]) -> list[list[str]]:
    return [list(run_ids[first : first + _BATCH_RUNS]) for first in range(0, len(run_ids), _BATCH_RUNS)]


def _clean_logs(instance: dg.DagsterInstance, limit: _Limit) -> RetentionResult:
    """Delete what steps printed, if it is in files of this machine; stores of a cloud have rules of their own."""
    manager = instance.compute_log_manager
    path_of = getattr(manager, "get_captured_local_path", None)
    root = Path(path_of(["any"], "out")).parent if path_of else None
    due = deleted = 0
    if root is None or not root.is_dir():
        return RetentionResult(COMPUTE_LOGS, limit.days, 0, 0)
    before = limit.until.replace(tzinfo=UTC).timestamp()
    for file in [each for each in root.rglob("*") if each.is_file() and each.stat().st_mtime < before]:
        due += 1
        if limit.reached:
            continue
        file.unlink()
        deleted += 1
        # Folders of the run, up to the first that still has something.
        with suppress(OSError):
            for folder in file.relative_to(root).parents[:-1]:
                (root / folder).rmdir()
    return RetentionResult(COMPUTE_LOGS, limit.days, due, deleted)
