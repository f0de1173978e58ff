import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from cdp_platform.ops.leases import Claim, Leases, beating, claim
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Warehouse

SOON = 10.0


def add(connection: psycopg.Connection, *keys: str) -> None:
    with tenant_transaction(connection, "acme"):
        for key in keys:
            connection.execute("INSERT INTO loyalty.task (tenant_id, task_id) VALUES ('acme', %s)", [key])


def take(connection: psycopg.Connection, at_most: int = 10, seconds: float = 60) -> Claim:
    with tenant_transaction(connection, "acme"):
        return claim(
            connection,
            "acme",
            "loyalty.task",
            key="task_id",
            waiting="NOT done",
            at_most=at_most,
            seconds=seconds,
        )


def leases_of(connection: psycopg.Connection) -> dict[str, Any]:
    with tenant_transaction(connection, "acme"):
        return dict(connection.execute("SELECT task_id, lease_until FROM loyalty.task ORDER BY 1").fetchall())


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_what_one_worker_has_taken_no_other_gets(warehouse: Warehouse, room: psycopg.Connection) -> None:
    add(room, "a", "b", "c")
    assert take(room, 2).keys == ["a", "b"]
    with connect(warehouse.settings) as other:
        assert take(other).keys == ["c"]
        assert take(other).keys == []


def test_rows_that_another_worker_is_taking_are_not_waited_for(warehouse: Warehouse, room: psycopg.Connection) -> None:
    add(room, "a", "b")
    with connect(warehouse.settings) as other, tenant_transaction(other, "acme"):
        other.execute("SELECT FROM loyalty.task WHERE task_id = 'a' FOR UPDATE")
        assert take(room).keys == ["b"]


def test_work_of_a_process_that_dies_goes_to_another_when_its_lease_ends(
    warehouse: Warehouse, room: psycopg.Connection
) -> None:
    add(room, "a", "b")
    code = """
import os, signal
from cdp_platform import settings
from cdp_platform.ops.leases import claim
from cdp_platform.warehouse.connection import connect, tenant_transaction
with connect(settings.postgres()) as connection:
    with tenant_transaction(connection, "acme"):
        claim(connection, "acme", "loyalty.task", key="task_id", waiting="NOT done", at_most=9, seconds=3)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert take(room).keys == []
    until(lambda: take(room).keys == ["a", "b"])


def test_a_worker_that_lost_its_lease_is_told_so(warehouse: Warehouse, room: psycopg.Connection) -> None:
    add(room, "a", "b")
    slow = take(room, seconds=0.05)
    time.sleep(0.06)
    with connect(warehouse.settings) as other:
        assert take(other, 1).keys == ["a"]
    with tenant_transaction(room, "acme"):
        assert slow.finish(room, ["a", "b"]) == {"b"}


def test_leases_are_extended_while_they_are_held(warehouse: Warehouse, room: psycopg.Connection) -> None:
    add(room, "a", "b")
    with Leases(lambda: connect(warehouse.settings), every_seconds=0.1) as leases:
        held = take(room, 1, seconds=1)
        leases.hold(held)
        first = leases_of(room)["a"]
        until(lambda: leases_of(room)["a"] > first)
        time.sleep(1)
        assert take(room).keys == ["b"]
        leases.let_go(held)
        until(lambda: take(room).keys == ["a"])


@pytest.mark.parametrize("error", [None, ValueError])
def test_what_is_still_held_at_the_end_is_put_back(
    warehouse: Warehouse, room: psycopg.Connection, error: type[Exception] | None
) -> None:
    add(room, "a", "b")

    def work() -> None:
        with Leases(lambda: connect(warehouse.settings)) as leases:
            leases.hold(take(room))
            if error is not None:
                raise error

    if error is None:
        work()
    else:
        with pytest.raises(error):
            work()
    assert leases_of(room) == {"a": None, "b": None}


def test_a_heartbeat_waits_for_no_row_that_is_being_written(warehouse: Warehouse, room: psycopg.Connection) -> None:
    add(room, "a", "b")
    held = take(room)
    before = leases_of(room)
    with connect(warehouse.settings) as writer, tenant_transaction(writer, "acme"):
        writer.execute("SELECT FROM loyalty.task WHERE task_id = 'a' FOR UPDATE")
        with tenant_transaction(room, "acme"):
            room.execute("SET LOCAL lock_timeout = '2s'")
            held.extend(room)
    after = leases_of(room)
    assert after["a"] == before["a"]
    assert after["b"] > before["b"]


def test_one_thread_beats_for_all_and_ends_with_the_last() -> None:
    beats: dict[str, set[str]] = {"quick": set(), "slow": set()}

    def beat(name: str) -> Callable[[], None]:
        return lambda: beats[name].add(threading.current_thread().name + str(threading.get_ident()))

    with beating(beat("quick"), every_seconds=0.02):
        with beating(beat("slow"), every_seconds=0.05):
            until(lambda: all(beats.values()))
        assert len(beats["quick"] | beats["slow"]) == 1
        beats["slow"].clear()
        beats["quick"].clear()
        until(lambda: bool(beats["quick"]))
        assert beats["slow"] == set()
    until(lambda: "heartbeat" not in {thread.name for thread in threading.enumerate()})


def test_a_beat_that_fails_is_tried_again() -> None:
    calls = []

    def beat() -> None:
        calls.append(len(calls))
        raise psycopg.OperationalError("the server is gone")

    with beating(beat, every_seconds=0.02):
        until(lambda: len(calls) > 2)
    ended = len(calls)
    time.sleep(0.1)
    assert len(calls) == ended


def test_a_table_that_is_locked_for_long_holds_up_no_other_lease(
    warehouse: Warehouse, room: psycopg.Connection
) -> None:
    add(room, "a")
    held = take(room, seconds=60)
    other: list[float] = []
    with (
        warehouse.superuser() as migration,
        migration.transaction(),
        Leases(lambda: connect(warehouse.settings), every_seconds=0.1) as leases,
        beating(lambda: other.append(time.monotonic()), every_seconds=0.1),
    ):
        migration.execute("LOCK TABLE loyalty.task IN ACCESS EXCLUSIVE MODE")
        leases.hold(held)
        time.sleep(0.5)
        before = len(other)
        until(lambda: len(other) > before + 1)
        leases.let_go(held)
