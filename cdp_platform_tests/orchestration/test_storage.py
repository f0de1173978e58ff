"""Dagster's storage as dagster.yaml configures it."""

import os
import re
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import click
import dagster as dg
import pytest
import yaml
from dagster._core.storage.event_log import SqlEventLogStorage
from sqlalchemy import event
from sqlalchemy.engine import Engine

from cdp_platform.orchestration import storage
from cdp_platform_tests.conftest import Server

PLANTED = "planted-value-of-an-event"


@pytest.fixture(autouse=True)
def _errors_as_sqlalchemy_makes_them() -> None:
    """Nothing of another test hides values already."""
    if event.contains(Engine, "handle_error", storage._hide):
        event.remove(Engine, "handle_error", storage._hide)


def as_dagster_has_it(home: Path) -> None:
    """The same configuration for Dagster's own storage."""
    file = home / "dagster.yaml"
    content = yaml.safe_load(file.read_text())
    content["storage"] = {"postgres": content["storage"]["custom"]["config"]}
    file.write_text(yaml.safe_dump(content))


def lose_the_backend(server: Server, database: str, lost: list[int], began: threading.Event) -> None:
    """End the server's process that waits to write an event, as a restart of the server does."""
    with server.superuser(database) as locking, locking.transaction(), server.superuser(database) as ending:
        locking.execute("LOCK TABLE event_logs IN ACCESS EXCLUSIVE MODE")
        began.set()
        deadline = time.monotonic() + 60
        while not lost and time.monotonic() < deadline:
            rows = ending.execute(
                "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                " AND query LIKE 'INSERT INTO event_logs%'"
            ).fetchall()
            lost += [pid for pid, _ in rows]
            time.sleep(0.05)


@pytest.mark.parametrize("own", [True, False], ids=["ours", "dagsters"])
def test_a_lost_database_shows_no_value_of_an_event(
    home: Path, server: Server, capfd: pytest.CaptureFixture[str], *, own: bool
):
    if not own:
        as_dagster_has_it(home)
    lost: list[int] = []
    began = threading.Event()
    thread = threading.Thread(target=lose_the_backend, args=(server, os.environ["DAGSTER_PG_DB"], lost, began))

    @dg.asset
    def people() -> dg.MaterializeResult:
        thread.start()
        assert began.wait(60)
        return dg.MaterializeResult(metadata={"sample": PLANTED})

    said = ""
    with dg.DagsterInstance.get() as instance:
        try:
            dg.materialize([people], instance=instance, raise_on_error=False)
        except Exception:
            said = traceback.format_exc()
    thread.join()
    captured = capfd.readouterr()
    said += captured.out + captured.err
    # The backend was lost while it wrote an event, and somebody was told.
    assert lost
    assert re.search(r"psycopg2\.(OperationalError|errors\.AdminShutdown)", said)
    # Values follow this word, long ones cut in the middle.
    assert ("[parameters:" in said) is (not own)
    assert not (own and PLANTED in said)


@pytest.mark.parametrize("name", ["DAGSTER_PG_HOST", "DAGSTER_PG_DB", "DAGSTER_PG_USERNAME"])
def test_a_variable_that_is_not_set_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.delenv(name)
    with pytest.raises(click.ClickException, match=rf"{name} is not set\. Set them in .*\.env") as caught:
        dg.DagsterInstance.get()
    assert "\n" not in str(caught.value)
    monkeypatch.setenv(name, "")
    with pytest.raises(click.ClickException, match=f"{name} is not set"):
        dg.DagsterInstance.get()


@pytest.mark.parametrize("name", ["DAGSTER_PG_HOST", "DAGSTER_PG_DB"])
def test_a_whole_address_where_a_name_belongs_is_refused_and_not_repeated(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setenv(name, "postgresql://dagster:hush@db.internal/dagster")
    with pytest.raises(click.ClickException, match=f"{name} is wrong: it is a whole address") as caught:
        dg.DagsterInstance.get()
    assert "hush" not in str(caught.value)


def test_port_and_password_may_be_left_out(home: Path, server: Server, monkeypatch: pytest.MonkeyPatch):
    assert storage._with_variables({"scheme": "x", "port": {"env": "DAGSTER_PG_PORT"}}) == {
        "scheme": "x",
        "port": server.port,
    }
    monkeypatch.delenv("DAGSTER_PG_PORT")
    monkeypatch.delenv("DAGSTER_PG_PASSWORD")
    given = {"port": {"env": "DAGSTER_PG_PORT"}, "password": {"env": "DAGSTER_PG_PASSWORD"}, "db_name": "d"}
    assert storage._with_variables(given) == {"db_name": "d", "password": ""}


def test_a_database_that_is_away_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DAGSTER_PG_PORT", "1")
    with pytest.raises(click.ClickException, match=r"127.0.0.1:1/.* Connection refused\. Is the server up") as caught:
        dg.DagsterInstance.get()
    assert "\n" not in str(caught.value)


def test_the_storage_is_dagsters_own(home: Path):
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("tenant", ["harbour"])
    with dg.DagsterInstance.get() as again:
        assert again.get_dynamic_partitions("tenant") == ["harbour"]


@pytest.fixture
def backends(home: Path, server: Server) -> Callable[[], set[int]]:
    """The connections to Dagster's database."""

    def now() -> set[int]:
        with server.superuser(os.environ["DAGSTER_PG_DB"]) as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return {pid for (pid,) in rows}

    return now


def test_instances_share_connections_that_do_not_add_up(backends):
    kept, opened = [], set()
    for _ in range(5):
        with dg.DagsterInstance.get() as instance:
            instance.report_runless_asset_event(dg.AssetMaterialization("first"))
            instance.get_runs(limit=1)
            instance.all_instigator_state()
        kept.append(instance)
        opened |= backends()
    # One makes the tables, and is closed.
    assert len(opened) <= storage._KEPT_CONNECTIONS
    assert backends() <= opened


def test_threads_that_work_at_once_leave_no_more_connections_than_are_kept(backends):
    together = threading.Barrier(8)
    # Makes the tables.
    dg.DagsterInstance.get().dispose()

    def work() -> None:
        with dg.DagsterInstance.get() as instance:
            together.wait(60)
            for _ in range(5):
                instance.get_runs(limit=1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + 60
    while len(backends()) > storage._KEPT_CONNECTIONS:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_events_share_connections_until_they_are_lost(backends, server: Server):
    with dg.DagsterInstance.get() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("first"))
        kept = backends()
        assert kept
        instance.report_runless_asset_event(dg.AssetMaterialization("second"))
        assert backends() == kept
        with server.superuser(os.environ["DAGSTER_PG_DB"]) as connection:
            for pid in kept:
                connection.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        assert not backends()
        instance.report_runless_asset_event(dg.AssetMaterialization("third"))
        assert {key.path[0] for key in instance.all_asset_keys()} == {"first", "second", "third"}


def in_a_fork(work: Callable[[], object]) -> bool:
    """Whether a forked process does this without an error."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


def test_a_forked_process_has_connections_of_its_own(backends):
    with dg.DagsterInstance.get() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("parents"))
        of_the_parent = backends()

        def report() -> None:
            instance.report_runless_asset_event(dg.AssetMaterialization("inherited"))
            with dg.DagsterInstance.get() as own:
                own.report_runless_asset_event(dg.AssetMaterialization("own"))
            assert backends() > of_the_parent

        assert in_a_fork(report)
        # The child has not closed them either.
        assert of_the_parent <= backends()
        instance.report_runless_asset_event(dg.AssetMaterialization("again"))
        assert {key.path[0] for key in instance.all_asset_keys()} == {"parents", "inherited", "own", "again"}
        assert backends() == of_the_parent


def has_table(instance: dg.DagsterInstance, name: str) -> bool:
    events = instance.event_log_storage
    assert isinstance(events, SqlEventLogStorage)
    return events.has_table(name)


def test_the_catalogue_is_not_asked_again_by_each_instance(home: Path):
    asked = []

    def look(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.extend([statement] if "pg_catalog" in statement or "secondary_indexes" in statement else [])

    def ask() -> None:
        with dg.DagsterInstance.get() as instance:
            instance.all_instigator_state()
            instance.get_backfills()
            instance.get_latest_materialization_events([dg.AssetKey("first")])
            assert has_table(instance, "dynamic_partitions")

    event.listen(Engine, "before_cursor_execute", look)
    try:
        ask()
        assert asked
        asked.clear()
        ask()
        assert not asked
    finally:
        event.remove(Engine, "before_cursor_execute", look)


def test_a_table_that_comes_with_a_migration_is_seen(home: Path, server: Server):
    with dg.DagsterInstance.get() as instance:
        assert not has_table(instance, "added_later")
        with server.superuser(os.environ["DAGSTER_PG_DB"]) as connection:
            connection.execute("CREATE TABLE added_later ()")
        assert has_table(instance, "added_later")
