"""A large read that two processes share leaves just what one process leaves, whatever happens to either."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from cdp_platform import settings
from cdp_platform.build import build_definitions
from cdp_platform.customers import full_read
from cdp_platform.customers import sync as sync_module
from cdp_platform.errors import SourceError, WorkerLostError
from cdp_platform.orchestration import partitions
from cdp_platform.orchestration.in_process import run_job
from cdp_platform.orchestration.resources import ArangoResource, WarehouseResource
from cdp_platform.resources.arango import open_database
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.leo import STAMP, Leo

pytestmark = pytest.mark.usefixtures("small_batches")


@pytest.fixture(autouse=True)
def _worth_sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_module, "_WORTH_A_THREAD", 1)
    monkeypatch.setattr(sync_module, "_WORTH_A_PROCESS", 1)


@pytest.fixture(autouse=True)
def turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the second process was told, in order; it is waited for, however small the read."""
    told: list[str] = []
    is_ready, hand_over = full_read._Other.is_ready, full_read._Other.hand_over

    def waits(self: full_read._Other) -> bool:
        while not self._reading.poll():
            time.sleep(0.01)
        return is_ready(self)

    def noted(self: full_read._Other, bookmark: full_read.Bookmark) -> None:
        told.append("read on" if bookmark.has_more else "the end")
        hand_over(self, bookmark)

    monkeypatch.setattr(full_read._Other, "is_ready", waits)
    monkeypatch.setattr(full_read._Other, "hand_over", noted)
    yield told
    assert not second_processes()


def second_processes() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        # What another test has ended may still be in the table of processes, without a command.
        with suppress(psutil.NoSuchProcess):
            if "multiprocessing.spawn" in " ".join(child.cmdline()):
                found.append(child)
    return found


def fill(leo: Leo, number: int) -> None:
    for each in range(number):
        leo.profile(f"p{each:02}", each + 1, firstName=f"n{each}", primaryEmail="x" if each % 4 == 0 else "a@b.de")


PROCESS = pytest.mark.parametrize("second_process", [False, True], ids=["thread", "process"])


@PROCESS
@pytest.mark.parametrize("number", [1, 3, 4, 6, 7, 9, 14])
def test_two_leave_what_one_leaves(
    leo: Leo, new_leo: Callable[..., Leo], monkeypatch: pytest.MonkeyPatch, *, turns: list[str], second_process, number
):
    alone = new_leo("alone")
    for each in (leo, alone):
        fill(each, number)
        each.profile("broken", 1, inSegments={"id": "x"})
    shared = leo.sync(second_process=second_process)
    assert len(turns) >= number // 6
    monkeypatch.setattr(sync_module, "_WORTH_A_THREAD", 10_000)
    single = alone.sync()
    assert shared == single
    assert shared.remarks["unusable_contacts"] == (number + 3) // 4
    query = "SELECT profile_id, first_name, document - '_id', document_hash FROM customers.cdp_profiles ORDER BY 1"
    assert leo.rows(query) == alone.rows(query)
    assert leo.stamp() == alone.stamp() == STAMP.format(day=number)
    assert [record.document_key for record in leo.waiting()] == ["broken"]


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


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")
def test_the_second_process_opens_what_replaced_resources_say(
    leo: Leo, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("OPENED", str(tmp_path / "opened"))
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


def test_a_small_read_is_not_worth_a_second_process(leo: Leo, monkeypatch: pytest.MonkeyPatch, turns: list[str]):
    monkeypatch.setattr(sync_module, "_WORTH_A_THREAD", 10_000)
    monkeypatch.setattr(sync_module, "_WORTH_A_PROCESS", 50_000)
    fill(leo, 7)
    assert leo.sync(second_process=True).new == 7
    assert turns == []


def test_a_second_process_that_is_killed_is_an_error_and_the_next_run_goes_on(leo: Leo, monkeypatch):
    fill(leo, 14)
    hand_over = full_read._Other.hand_over
    killed: list[int] = []

    def kills_the_second_time(self: full_read._Other, bookmark: full_read.Bookmark) -> None:
        killed.append(0)
        if len(killed) == 2:
            (child,) = second_processes()
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        hand_over(self, bookmark)

    monkeypatch.setattr(full_read._Other, "hand_over", kills_the_second_time)
    with pytest.raises(WorkerLostError, match="goes on from the watermark"):
        leo.sync(second_process=True)
    assert len(killed) == 2
    # The first batch was ours; the second process was killed before or after it committed the second.
    assert len(leo.keys()) in {3, 6}
    assert leo.stamp() == STAMP.format(day=len(leo.keys()))
    monkeypatch.undo()
    leo.sync()
    assert len(leo.keys()) == 14


@PROCESS
def test_what_goes_wrong_in_the_second_is_told_by_the_first(leo: Leo, second_process):
    fill(leo, 14)
    # The second process fetches the batch after the first one.
    leo.sandbox.spoil(
        {"match": {"path_regex": r"/_api/cursor/\d+/2"}, "action": "status", "status": 500, "times": None}
    )
    with pytest.raises(SourceError, match="no usable answer"):
        leo.sync(second_process=second_process)
    assert leo.sandbox.fired()[0] >= 1
    leo.sandbox.clear()
    leo.sync()
    assert len(leo.keys()) == 14


@PROCESS
def test_a_first_that_fails_leaves_no_second_behind(leo: Leo, monkeypatch: pytest.MonkeyPatch, second_process):
    fill(leo, 14)
    land_in_turn, calls = full_read.land_in_turn, iter(range(99))

    def fails_the_second_time(*arguments):
        if next(calls) == 1:
            raise RuntimeError("killed")
        return land_in_turn(*arguments)

    monkeypatch.setattr(full_read, "land_in_turn", fails_the_second_time)
    with pytest.raises(RuntimeError, match="killed"):
        leo.sync(second_process=second_process)
    monkeypatch.undo()
    assert leo.sync().read > 0
    assert len(leo.keys()) == 14


def test_no_batch_is_committed_before_the_one_before_it(leo: Leo, monkeypatch: pytest.MonkeyPatch):
    """While our batch is held up, the second has the next one ready and does not commit it."""
    fill(leo, 9)
    land_in_turn = full_read.land_in_turn
    seen: list[int] = []
    held = threading.Event()

    def slow(connection, reading, mapper, batch, turn):
        def waits():
            if not held.is_set():
                held.set()
                deadline = time.monotonic() + 60
                query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND pid <> %s"
                own = connection.info.backend_pid
                # The second process stands in an open transaction with its batch.
                while leo.connection.execute(query, [own]).fetchone() == (0,) and time.monotonic() < deadline:
                    time.sleep(0.02)
                seen.append(len(leo.keys()))
            return turn()

        return land_in_turn(connection, reading, mapper, batch, waits)

    monkeypatch.setattr(full_read, "land_in_turn", slow)
    with_other = leo.sync(second_process=True)
    assert with_other.new == 9
    # Ours is not written before its turn either.
    assert seen == [0]
