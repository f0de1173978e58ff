"""Retention of Dagster's runs and events changes nothing that Dagster says of assets, partitions and checks."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from cdp_platform import settings
from cdp_platform.build import build_definitions
from cdp_platform.errors import ConfigurationError
from cdp_platform.health import dagster_home
from cdp_platform.ops.retention import RetentionResult
from cdp_platform.orchestration import dagster_retention
from cdp_platform_tests.command_line import answers, says
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.orchestration import kept_runs
from cdp_platform_tests.orchestration.kept_runs import KEYS, definitions
from cdp_platform_tests.warehouse.test_isolation import any_row

DAYS = 30
ASSETS = [dg.AssetKey(name) for name in ("feed", "table", "report", "total", "watched")]
CHECKS = [
    dg.AssetCheckKey(dg.AssetKey("total"), "positive"),
    dg.AssetCheckKey(dg.AssetKey("feed"), "arrives"),
]
STATUS = """{
  assetNodes {
    assetKey { path }
    partitionStats { numMaterialized numFailed numPartitions }
    assetPartitionStatuses {
      ... on DefaultPartitionStatuses { materializedPartitions failedPartitions unmaterializedPartitions }
    }
    assetMaterializations(limit: 1) { runId partition }
    latestMaterializationByPartition(partitions: ["a", "b", "c"]) { runId partition }
    assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status runId } } } }
    staleStatus
  }
}"""


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as made:
        yield made


@pytest.fixture
def tables(instance: dg.DagsterInstance) -> Iterator[psycopg.Connection]:
    """Dagster's own database."""
    conninfo = dagster_home.conninfo()
    assert conninfo
    with psycopg.connect(conninfo, autocommit=True) as connection:
        yield connection


def clean(
    instance: dg.DagsterInstance, *, named: tuple[str, ...] = (), dry_run: bool = False, **options: Any
) -> dict[tuple[str, str], RetentionResult]:
    conninfo = dagster_home.conninfo()
    assert conninfo
    found = dagster_retention.clean(instance, conninfo, DAYS, named, dry_run=dry_run, **options)
    return {(each.table, each.rows): each for each in found}


def make(instance: dg.DagsterInstance, *names: str, partition: str | None = None, **options: Any) -> str:
    """A real run of these assets and their checks, or of the check ``positive`` alone; returns its id."""
    chosen = dg.AssetSelection.assets(*names) if names else dg.AssetSelection.checks(CHECKS[0])
    job = dg.define_asset_job("__ASSET_JOB_OF_TEST", chosen, executor_def=dg.in_process_executor)
    resolved = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job])).resolve_job_def(job.name)
    return resolved.execute_in_process(
        instance=instance, partition_key=partition, raise_on_error=False, **options
    ).run_id


def grow_old(tables: psycopg.Connection, days: int = DAYS + 10) -> None:
    """All that is there now is older by this many days."""
    for table, *columns in (
        ("runs", "create_timestamp", "update_timestamp"),
        ("event_logs", "timestamp"),
        ("asset_check_executions", "evaluation_event_timestamp", "create_timestamp"),
        ("asset_event_tags", "event_timestamp"),
        ("bulk_actions", "timestamp"),
        ("job_ticks", "timestamp"),
    ):
        changes = ", ".join(f"{column} = {column} - make_interval(days => {days})" for column in columns)
        tables.execute(f"UPDATE {table} SET {changes}".encode())
    tables.execute("UPDATE runs SET start_time = start_time - %s, end_time = end_time - %s", [days * 86_400] * 2)


def status(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What Dagster says of all assets and checks, also without what it remembers of partitions."""
    latest = instance.get_latest_materialization_events(ASSETS)
    executions = instance.event_log_storage.get_latest_asset_check_execution_by_key(CHECKS)
    freshness = instance.event_log_storage.get_freshness_state_records(ASSETS)
    found: dict[str, Any] = {
        "freshness": {str(key): each.freshness_state for key, each in freshness.items()},
        "latest": {str(key): event and (event.run_id, event.timestamp) for key, event in latest.items()},
        "checks": {str(key): (each.id, each.status, each.run_id) for key, each in executions.items()},
    }
    for remembered in (True, False):
        for key in ASSETS:
            if not remembered:
                instance.wipe_asset_cached_status([key])
            cached = get_and_update_asset_status_cache_value(instance, key, KEYS)
            assert cached
            found[f"{key} {remembered}"] = {
                "materialized": sorted(instance.get_materialized_partitions(key)),
                "cached": sorted(cached.deserialize_materialized_partition_subsets(KEYS).get_partition_keys()),
                "failed": sorted(cached.deserialize_failed_partition_subsets(KEYS).get_partition_keys()),
                "observed": (last := instance.fetch_observations(key, limit=1).records) and last[0].storage_id,
            }
    return found


def ask_the_ui(home: Path) -> Any:
    """The answer of the UI's GraphQL."""
    answer = home / "answer.json"
    subprocess.run(
        [Path(sys.executable).parent / "dagster-graphql", "-f", kept_runs.__file__, "-t", STATUS, "-o", answer],
        cwd=home,
        env=os.environ,
        check=True,
    )
    found = json.loads(answer.read_text())
    assert "errors" not in found, found
    return found["data"]


def tick(instance: dg.DagsterInstance, cursor: Any = None) -> tuple[set[Any], Any]:
    """What the automation asks for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        result = dg.evaluate_automation_conditions(
            definitions, instance, cursor=cursor, evaluation_time=datetime.now(UTC)
        )
    asked = {
        (key, part) for key in ASSETS if result.get_num_requested(key) for part in result.get_requested_partitions(key)
    }
    return asked, result.cursor


@pytest.fixture
def history(instance: dg.DagsterInstance, tables: psycopg.Connection) -> dict[str, str]:
    """Runs and events of long ago, by what they hold; all but the ones that begin with `superseded` stay."""
    ranged = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}
    for moment, fresh in enumerate((FreshnessState.PASS, FreshnessState.WARN, FreshnessState.FAIL)):
        instance._report_runless_asset_event(
            FreshnessStateChange(
                key=dg.AssetKey("total"),
                new_state=fresh,
                previous_state=FreshnessState.UNKNOWN,
                state_change_timestamp=float(moment),
            )
        )
        for key in ("a", "b"):
            instance.report_runless_asset_event(
                dg.AssetMaterialization("feed", partition=key, tags={"dagster/data_version": str(moment)})
            )
            instance.report_runless_asset_event(dg.AssetObservation("feed", partition=key))
        for passed in (True, False):
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(asset_key=dg.AssetKey("feed"), check_name="arrives", passed=passed)
            )
    fails = {"ops": {"table": {"config": {"fails": True}}}}
    runs = {
        "superseded range": make(instance, "table", tags=ranged),
        "range": make(instance, "table", tags=ranged),
        "superseded partition": make(instance, "table", partition="a"),
        "partition": make(instance, "table", partition="a"),
        "failed": make(instance, "table", partition="b", run_config=fails),
        "superseded report": make(instance, "report", partition="a"),
        "report": make(instance, "report", partition="a"),
        "superseded total": make(instance, "total"),
        "total": make(instance, "total"),
        # From here on, the last check is in another run than the last materialization.
        "superseded check": make(instance),
        "check": make(instance),
        "superseded observation": make(instance, "watched"),
        "observation": make(instance, "watched"),
    }
    grow_old(tables)
    return {**runs, "last of the job": make(instance, "report", partition="b")}


def test_nothing_that_dagster_says_of_assets_changes(
    home: Path, instance: dg.DagsterInstance, tables: psycopg.Connection, history: dict[str, str]
):
    first, cursor = tick(instance)
    before, shown = status(instance), ask_the_ui(home)
    assert before["AssetKey(['table']) False"]["failed"] == ["b"]
    counted = {which: each.due for which, each in clean(instance, dry_run=True).items()}
    assert status(instance) == before

    found = clean(instance)
    gone = {name for name, run_id in history.items() if instance.get_run_by_id(run_id) is None}
    assert gone == {name for name in history if name.startswith("superseded")}
    assert status(instance) == before
    assert ask_the_ui(home) == shown
    assert tick(instance, cursor)[0] == set()
    assert tick(instance)[0] == first

    assert found["runs", "with their events"].deleted == counted["runs", "with their events"] == len(gone)
    # Two partitions, two older materializations and observations of each, and two older changes of freshness.
    assert found["event_logs", "without a run, superseded"].deleted == 2 * 2 * 2 + 2
    # Five evaluations before the last.
    assert found["event_logs", "checks without a run, superseded"].deleted == 5
    assert found["asset_check_executions", "superseded"].deleted >= 5
    assert all(each.due == 0 for each in clean(instance).values())
    assert tables.execute(
        "SELECT count(*) FROM event_logs WHERE run_id <> '' AND run_id NOT IN (SELECT run_id FROM runs)"
    ).fetchone() == (0,)
    assert tables.execute(
        "SELECT count(*) FROM asset_event_tags WHERE event_id NOT IN (SELECT id FROM event_logs)"
    ).fetchone() == (0,)


def test_a_run_that_stays_keeps_its_assets_steps_and_errors_but_not_its_log(
    instance: dg.DagsterInstance, tables: psycopg.Connection, history: dict[str, str]
):
    def types(name: str) -> set[str | None]:
        rows = tables.execute("SELECT dagster_event_type FROM event_logs WHERE run_id = %s", [history[name]])
        return {kind for (kind,) in rows}

    steps = {"STEP_START", "PIPELINE_START", "ASSET_MATERIALIZATION_PLANNED"}
    assert {None, "LOGS_CAPTURED", "ENGINE_EVENT"} & types("partition")
    young = types("last of the job")
    clean(instance)
    assert types("partition") == steps | {"STEP_SUCCESS", "ASSET_MATERIALIZATION", "PIPELINE_SUCCESS"}
    assert steps | {"STEP_FAILURE", "PIPELINE_FAILURE"} <= types("failed")
    assert not {None, "ENGINE_EVENT"} & types("failed")
    assert types("last of the job") == young


def _run(instance: dg.DagsterInstance, name: str, status: str = "SUCCESS", job_name: str = "plain", **tags: str) -> str:
    run_id = f"00000000-0000-0000-0000-{abs(hash(name)) % 10**12:012}"
    named = {f"dagster/{key}": value for key, value in tags.items()}
    instance.add_run(dg.DagsterRun(job_name=job_name, run_id=run_id, status=dg.DagsterRunStatus(status), tags=named))
    return run_id


def _backfill(instance: dg.DagsterInstance, key: str, state: BulkActionStatus) -> str:
    instance.add_backfill(
        PartitionBackfill(
            backfill_id=key, status=state, from_failure=False, tags={"any": "tag"}, backfill_timestamp=1.0
        )
    )
    return key


@pytest.fixture
def plain(instance: dg.DagsterInstance, tables: psycopg.Connection) -> dict[str, str]:
    """Old runs without events, by the reason why they stay; those that begin with `goes` do not."""
    failed, parent, root = _run(instance, "goes: failed", "FAILURE"), _run(instance, "parent"), _run(instance, "root")
    over = _backfill(instance, "over", BulkActionStatus.COMPLETED_FAILED)
    open_one = _backfill(instance, "open", BulkActionStatus.REQUESTED)
    _backfill(instance, "empty", BulkActionStatus.CANCELED)
    runs = {
        "goes": _run(instance, "goes"),
        "goes: failed": failed,
        "goes: canceled": _run(instance, "goes: canceled", "CANCELED"),
        "parent of a waiting run": parent,
        "root of a waiting run": root,
        "waiting": _run(instance, "waiting", "NOT_STARTED", parent_run_id=parent, root_run_id=root),
        "started": _run(instance, "started", "STARTED"),
        "will be retried": _run(instance, "will", "FAILURE", will_retry="true"),
        "goes: was retried": _run(instance, "was", "FAILURE", will_retry="true", auto_retry_run_id="other"),
        "goes: will not be retried": _run(instance, "not", "FAILURE", will_retry="false"),
        "of an open backfill": _run(instance, "open", backfill=open_one),
        "goes: of a backfill that is over": _run(instance, "over", backfill=over),
        "key of a sensor": _run(instance, "key", run_key="one", sensor_name="s"),
        # Its key counts for one moment of the schedule only.
        "goes: key of a schedule": _run(instance, "slot", run_key="one", schedule_name="s"),
        "named": _run(instance, "named"),
        "last of a rare job": _run(instance, "rare", job_name="rare"),
    }
    grow_old(tables)
    return {**runs, "young": _run(instance, "young"), "last of the job": _run(instance, "last")}


def test_a_run_stays_that_something_stands_on(
    instance: dg.DagsterInstance, tables: psycopg.Connection, plain: dict[str, str]
):
    counted = clean(instance, named=(plain["named"],), dry_run=True)["runs", "with their events"].due
    found = clean(instance, named=(plain["named"],))
    gone = {name for name, run_id in plain.items() if instance.get_run_by_id(run_id) is None}
    assert gone == {name for name in plain if name.startswith("goes")}
    assert counted == len(gone)
    assert found["bulk_actions", "backfills without runs"].deleted == 2
    assert {backfill.backfill_id for backfill in instance.get_backfills()} == {"open"}
    assert tables.execute("SELECT DISTINCT backfill_id FROM backfill_tags").fetchall() == [("open",)]


def test_a_run_stays_that_is_taken_up_while_others_are_deleted(
    instance: dg.DagsterInstance, plain: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    """A person tries an old run again, between the look and the deletion."""
    monkeypatch.setattr(dagster_retention, "_BATCH_RUNS", 1)
    delete = instance.delete_run
    taken_up = plain["goes: canceled"]

    def delete_and_retry(run_id: str) -> None:
        delete(run_id)
        if run_id == plain["goes"]:
            _run(instance, "again", "NOT_STARTED", parent_run_id=taken_up, root_run_id=taken_up)

    monkeypatch.setattr(instance, "delete_run", delete_and_retry)
    clean(instance)
    assert instance.get_run_by_id(taken_up) is not None
    assert instance.get_run_by_id(plain["goes: failed"]) is None


def test_a_dry_run_deletes_nothing(instance: dg.DagsterInstance, tables: psycopg.Connection, history: dict[str, str]):
    def sizes() -> list[Any]:
        return [
            tables.execute(f"SELECT count(*) FROM {name}".encode()).fetchone()
            for name in ("runs", "event_logs", "asset_check_executions", "asset_event_tags")
        ]

    before = sizes()
    found = clean(instance, dry_run=True)
    assert sizes() == before
    assert found["runs", "with their events"].due == 6
    assert not any(each.deleted for each in found.values())


@pytest.mark.parametrize("killed", [False, True], ids=["budget", "killed"])
def test_what_is_left_in_the_middle_is_consistent_and_due_the_next_time(
    instance: dg.DagsterInstance, history: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, killed: bool
):
    before = status(instance)
    now = [0.0]
    delete, delete_events = instance.delete_run, instance.event_log_storage.delete_events
    with monkeypatch.context() as patched:
        patched.setattr(dagster_retention.time, "monotonic", lambda: now[0])

        def delete_for_a_second(run_id: str) -> None:
            delete(run_id)
            now[0] += 1

        def die(run_id: str) -> None:
            if now[0] >= 2:
                raise KeyboardInterrupt
            delete_events(run_id)

        patched.setattr(instance, "delete_run", delete_for_a_second)
        if killed:
            patched.setattr(instance.event_log_storage, "delete_events", die)
            with pytest.raises(KeyboardInterrupt):
                clean(instance, seconds=60)
        else:
            assert clean(instance, seconds=2)["runs", "with their events"].deleted == 2
    assert status(instance) == before
    left = clean(instance)
    assert left["runs", "with their events"].deleted == 6 - (3 if killed else 2)
    # The run was deleted, and the process died before it came to its events.
    assert bool(left["event_logs", "of deleted runs"].deleted) is killed
    assert status(instance) == before


def test_tables_of_another_revision_are_refused(
    instance: dg.DagsterInstance, tables: psycopg.Connection, history: dict[str, str]
):
    tables.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(ConfigurationError, match="schema revision ffffffffffff, and retention knows 29b539ebc72a"):
        clean(instance)
    assert all(instance.get_run_by_id(run_id) for run_id in history.values())


def test_ticks_of_what_ticks_no_more_go_except_the_last(instance: dg.DagsterInstance, tables: psycopg.Connection):
    for name, moved in (("gone", "40 days"), ("living", "1 hour")):
        for age in ("90 days", "60 days", moved):
            tables.execute(
                "INSERT INTO job_ticks (job_origin_id, selector_id, status, type, timestamp, tick_body)"
                " VALUES (%s, %s, 'SUCCESS', 'SENSOR', (now() AT TIME ZONE 'UTC') - %s::interval, '{}')",
                [name, name, age],
            )
    assert clean(instance)["job_ticks", "of what ticks no more"].deleted == 2
    rows = tables.execute("SELECT selector_id, count(*) FROM job_ticks GROUP BY 1 ORDER BY 1").fetchall()
    assert rows == [("gone", 1), ("living", 3)]


def test_old_logs_of_steps_go_with_their_folders(
    instance: dg.DagsterInstance, history: dict[str, str], home: Path, make_old: Callable[[Path], None]
):
    manager: Any = instance.compute_log_manager
    files = [Path(manager.get_captured_local_path([name, "compute_logs", "step"], "out")) for name in ("old", "young")]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("printed")
    make_old(files[0])
    assert clean(instance, dry_run=True)[dagster_retention.COMPUTE_LOGS, ""].due == 1
    assert files[0].exists()
    assert clean(instance)[dagster_retention.COMPUTE_LOGS, ""].deleted == 1
    assert not files[0].parents[1].exists()
    assert files[1].exists()


def test_the_daily_job_counts_and_deletes_only_if_it_is_told_to(
    instance: dg.DagsterInstance, history: dict[str, str], warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
):
    with warehouse.superuser() as connection:
        row = any_row(connection, "ops.run_lease", {"run_id": history["superseded total"]})
        connection.execute(row, {"table": "ops.run_lease", "tenant": ""})

    def metadata() -> dict[str, Any]:
        result = build_definitions().resolve_job_def("retention").execute_in_process(instance=instance)
        (output,) = [
            event
            for event in result.all_events
            if event.event_type_value == "STEP_OUTPUT" and event.step_key == "delete_old_runs"
        ]
        return {name: value.value for name, value in output.step_output_data.metadata.items()}

    counted = metadata()
    assert counted["rows_deleted"] == 0
    assert "| runs | with their events | 30 | 5 | 0 |" in str(counted["deleted"])
    monkeypatch.setenv("RUN_RETENTION_DELETES", "true")
    settings.forget()
    assert "| runs | with their events | 30 | 5 | 5 |" in str(metadata()["deleted"])
    assert instance.get_run_by_id(history["superseded total"]) is not None


def test_the_command_counts_unless_it_is_told_to_delete(
    instance: dg.DagsterInstance, history: dict[str, str], warehouse: Warehouse
):
    counted = {(each["table"], each["rows"]): each["due"] for each in answers("retention")["dagster"]}
    assert counted["runs", "with their events"] == 6
    shown = says("retention")
    assert "Past their time in Dagster" in shown
    assert "does every day, except in Dagster" in shown
    assert instance.get_run_by_id(history["superseded total"]) is not None
    says("retention", "--apply")
    assert instance.get_run_by_id(history["superseded total"]) is None
    assert "Nothing is past its time in Dagster." in says("retention")


@pytest.fixture
def make_old() -> Callable[[Path], None]:
    before = datetime.now(UTC).timestamp() - (DAYS + 10) * 86_400
    return lambda file: os.utime(file, (before, before))
