"""A large read that two processes share leaves just what one process leaves, whatever happens to either."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import psycopg
import pytest

from cdp_platform import settings
from cdp_platform.build import build_definitions
from cdp_platform.customers import full_read
from cdp_platform.customers import sync as sync_module
from cdp_platform.customers.defs import assets as customers_assets
from cdp_platform.errors import SourceError, WorkerLostError
from cdp_platform.ops import locks
from cdp_platform.orchestration import partitions
from cdp_platform.orchestration.in_process import run_job
from cdp_platform.orchestration.resources import ArangoResource, WarehouseResource
from cdp_platform.resources.arango import open_database
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.leo import STAMP, Leo

pytestmark = pytest.mark.usefixtures("small_batches")

LIMIT_SECONDS = 60


@pytest.fixture(autouse=True)
def _worth_sharing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sync_module, "_WORTH_A_SECOND", 1)
    yield
    assert not second_processes()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT_SECONDS} s"
        time.sleep(0.01)


def second_processes() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        try:
            if child.status() != psutil.STATUS_ZOMBIE and "be_second" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            # Another test has just ended it.
            pass
    return found


def fill(leo: Leo, number: int) -> None:
    for each in range(number):
        leo.profile(f"p{each:02}", each + 1, firstName=f"n{each}", primaryEmail="x" if each % 4 == 0 else "a@b.de")


def before_first_lands(monkeypatch: pytest.MonkeyPatch, do: Callable[[int], None]) -> None:
    """Call this before each batch of the first worker, with the number of batches that it has landed."""
    land_and_move, landed = full_read.land_and_move, iter(range(99))

    def after_it(*arguments: Any) -> None:
        do(next(landed))
        land_and_move(*arguments)

    monkeypatch.setattr(full_read, "land_and_move", after_it)


def held_in_first_batch(leo: Leo, monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Hold up the first batch until the second worker has committed all others of fourteen documents; then do this."""

    def waits(landed: int) -> None:
        if landed == 0:
            with connect(settings.postgres()) as watching:
                other = Leo(leo.sandbox, watching, leo.tenant)
                until(lambda: len(other.keys()) == 14 - 3)
                assert other.stamp() is None
            do()

    before_first_lands(monkeypatch, waits)


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("number", [0, 2, 3, 5, 14])
def test_two_leave_what_one_leaves(leo: Leo, new_leo: Callable[..., Leo], number: int):
    alone = new_leo("alone")
    for each in (leo, alone):
        fill(each, number)
        each.profile("broken", 1, inSegments={"id": "x"})
        if number > 2:
            each.profile("undated", None, firstName="u")
            each.profile("odd", None, updatedAt="2026-01-03 10:00:00", firstName="o")
            each.profile("ahead", None, updatedAt="2999-01-01T00:00:00.000Z")
    result = leo.sync(second_process=True)
    assert result == alone.sync()
    assert result.undated == (2 if number > 2 else 0)
    assert result.remarks["unusable_contacts"] == (number + 3) // 4
    query = "SELECT profile_id, first_name, document - '_id', document_hash FROM customers.cdp_profiles ORDER BY 1"
    assert leo.rows(query) == alone.rows(query)
    assert leo.stamp() == alone.stamp() is not None
    assert [record.document_key for record in leo.waiting()] == ["broken"]


@pytest.mark.usefixtures("shared")
def test_a_thread_of_this_process_shares_a_read_too(leo: Leo, new_leo: Callable[..., Leo]):
    alone = new_leo("alone")
    for each in (leo, alone):
        fill(each, 14)
        each.profile("broken", 1, inSegments={"id": "x"})
    assert leo.sync(second_thread=True) == alone.sync()
    assert not second_processes()
    query = "SELECT profile_id, first_name, document - '_id', document_hash FROM customers.cdp_profiles ORDER BY 1"
    assert leo.rows(query) == alone.rows(query)
    assert leo.stamp() == alone.stamp() is not None


@pytest.mark.usefixtures("shared")
def test_many_with_one_timestamp_are_all_there(leo: Leo):
    for number in range(14):
        leo.profile(f"p{number:02}", 5)
    assert leo.sync(second_process=True).new == 14
    assert leo.sync().new == 0


def test_neither_waits_for_the_other_and_the_watermark_waits_for_both(leo: Leo, monkeypatch: pytest.MonkeyPatch):
    fill(leo, 14)
    stamps: list[str | None] = []
    held_in_first_batch(leo, monkeypatch, lambda: stamps.append(leo.stamp()))
    assert leo.sync(second_process=True).new == 14
    assert stamps == [None]
    assert leo.stamp() == STAMP.format(day=14)


def test_what_was_committed_early_is_read_again_after_a_failure(leo: Leo, monkeypatch: pytest.MonkeyPatch):
    fill(leo, 14)

    def fails() -> None:
        raise RuntimeError("killed")

    held_in_first_batch(leo, monkeypatch, fails)
    with pytest.raises(RuntimeError, match="killed"):
        leo.sync(second_process=True)
    assert leo.stamp() is None
    assert len(leo.keys()) == 11
    monkeypatch.undo()
    again = leo.sync()
    assert (again.new, again.unchanged) == (3, 11)
    assert leo.stamp() == STAMP.format(day=14)


def test_a_document_that_changes_during_the_read_is_in_the_next_run(leo: Leo, monkeypatch: pytest.MonkeyPatch):
    fill(leo, 14)

    def change() -> None:
        leo.profile("p00", 20, firstName="changed")
        leo.profile("p13", 21, firstName="changed")

    held_in_first_batch(leo, monkeypatch, change)
    leo.sync(second_process=True)
    monkeypatch.undo()
    assert leo.sync().changed == 2
    changed = leo.rows("SELECT profile_id FROM customers.cdp_profiles WHERE first_name = 'changed' ORDER BY 1")
    assert changed == [("p00",), ("p13",)]


def _noting(connection_of: str, *arguments: Any, **options: Any) -> Any:
    """Opens what the environment says, and notes in a file which process did."""
    with Path(os.environ["OPENED"]).open("a") as opened:
        opened.write(f"{connection_of} {os.getpid()}\n")
    if connection_of == "warehouse":
        return connect(settings.postgres())
    return open_database(settings.arango(), *arguments, **options)


class _Warehouse(WarehouseResource):
    @property
    def opener(self) -> Any:
        return partial(_noting, "warehouse")


class _Arango(ArangoResource):
    @property
    def opener(self) -> Any:
        return partial(_noting, "arango")


@pytest.mark.usefixtures("shared")
@pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")
def test_the_second_process_opens_what_replaced_resources_say(
    leo: Leo, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("OPENED", str(tmp_path / "opened"))
    monkeypatch.setattr(customers_assets, "SecondWorker", partial(full_read.SecondWorker, process_from=0))
    fill(leo, 7)
    partitions.ensure(instance, [leo.tenant])
    definitions = build_definitions({"warehouse": _Warehouse(), "arango": _Arango()})
    outcome = run_job(definitions, "customers_sync", instance, ["acme"])
    assert outcome.success, outcome.errors
    opened = [line.split() for line in (tmp_path / "opened").read_text().splitlines()]
    for system in ("warehouse", "arango"):
        processes = {process for name, process in opened if name == system}
        assert str(os.getpid()) in processes
        assert len(processes) >= 2


def test_a_small_read_is_not_worth_a_second_process(leo: Leo, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sync_module, "_WORTH_A_SECOND", 5_000)
    fill(leo, 7)
    monkeypatch.setattr(full_read.subprocess, "Popen", None)
    assert leo.sync(second_process=True).new == 7


def while_second_writes(
    leo: Leo, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, do: Callable[[psycopg.Connection], None]
) -> None:
    """Do this, as the superuser, while the second worker is in a transaction and the first has landed nothing."""

    def waits(landed: int) -> None:
        if landed == 0:
            with warehouse.superuser() as superuser:
                with connect(settings.postgres()) as other, other.transaction():
                    locks.take(other, locks.erasure(leo.tenant.tenant_id))
                    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid <> %s"
                    until(lambda: superuser.execute(query, [leo.connection.info.backend_pid]).fetchone() == (1,))
                    do(superuser)
                query = (
                    "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND datname = %s"
                    " AND pid <> pg_backend_pid() AND pid <> %s"
                )
                given = [warehouse.settings.db_name, leo.connection.info.backend_pid]
                until(lambda: superuser.execute(query, given).fetchone() == (0,))

    before_first_lands(monkeypatch, waits)


def test_a_second_process_that_is_killed_is_an_error_and_the_next_run_goes_on(
    leo: Leo, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
):
    fill(leo, 14)

    def kill(_: psycopg.Connection) -> None:
        (child,) = second_processes()
        child.send_signal(signal.SIGKILL)
        until(lambda: not second_processes())

    while_second_writes(leo, warehouse, monkeypatch, kill)
    with pytest.raises(WorkerLostError, match="goes on from the watermark"):
        leo.sync(second_process=True)
    # The first worker sees it before its own batch is committed.
    assert leo.keys() == set()
    monkeypatch.undo()
    leo.sync()
    assert len(leo.keys()) == 14


def test_a_second_process_commits_nothing_after_the_session_of_the_first_has_ended(
    leo: Leo, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
):
    fill(leo, 14)

    def end_first(superuser: psycopg.Connection) -> None:
        first = leo.connection.info.backend_pid
        superuser.execute("SELECT pg_terminate_backend(%s)", [first])
        query = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
        until(lambda: superuser.execute(query, [first]).fetchone() == (0,))

    while_second_writes(leo, warehouse, monkeypatch, end_first)
    with pytest.raises((psycopg.OperationalError, WorkerLostError)):
        leo.sync(second_process=True)
    with connect(settings.postgres()) as connection:
        assert Leo(leo.sandbox, connection, leo.tenant).keys() == set()


@pytest.mark.usefixtures("shared")
def test_what_goes_wrong_in_the_second_is_told_by_the_first(leo: Leo):
    fill(leo, 14)
    # The second process fetches the batch after the first one.
    leo.sandbox.spoil(
        {"match": {"path_regex": r"/_api/cursor/\d+/2"}, "action": "status", "status": 500, "times": None}
    )
    with pytest.raises(SourceError, match="no usable answer"):
        leo.sync(second_process=True)
    assert leo.sandbox.fired()[0] >= 1
    leo.sandbox.clear()
    leo.sync()
    assert len(leo.keys()) == 14


def test_a_first_that_fails_leaves_no_second_behind(leo: Leo, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch):
    fill(leo, 14)

    def fail(_: psycopg.Connection) -> None:
        raise RuntimeError("killed")

    while_second_writes(leo, warehouse, monkeypatch, fail)
    with pytest.raises(RuntimeError, match="killed"):
        leo.sync(second_process=True)
    assert not second_processes()
    monkeypatch.undo()
    assert leo.sync().read == 14
    assert len(leo.keys()) == 14
