"""No wait on PostgreSQL is without a limit, and none of more than a few seconds is silent."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import psycopg
import pytest

from cdp_platform.errors import BusyError, UnavailableError
from cdp_platform.ops import tenants
from cdp_platform.warehouse import connection as connections
from cdp_platform.warehouse import waits
from cdp_platform.warehouse.connection import act_as, connect, long_statements, single_flight, tenant_transaction
from cdp_platform_tests.conftest import Warehouse


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Limits of seconds, so that a test meets them."""
    monkeypatch.setattr(waits, "SPEAK_AFTER_SECONDS", 1.0)
    monkeypatch.setattr(connections, "LOCK_SECONDS", 4)
    monkeypatch.setattr(connections, "_IDLE_SECONDS", 2)
    monkeypatch.setitem(connections._SERVER_LIMITS, "idle_in_transaction_session_timeout", "2s")
    yield
    act_as("cdp_platform")


@contextmanager
def holding(warehouse: Warehouse, application: str, statement: str, user: str | None = None) -> Generator[int]:
    """A transaction of another session that holds what the statement locks; yields its process in PostgreSQL."""
    with psycopg.connect(
        host="127.0.0.1",
        port=warehouse.server.port,
        dbname=warehouse.settings.db_name,
        user=warehouse.settings.db_user if user is None else user,
        password="test-only",
        application_name=application,
    ) as blocker:
        blocker.execute("SELECT set_config('app.tenant_id', 'acme', true)")
        blocker.execute(statement)
        yield blocker.info.backend_pid
        blocker.rollback()


# What another session holds, what ours wants, and how that is called.
CONFLICTS = {
    "a table": (
        "LOCK TABLE ops.sync_watermark IN ACCESS EXCLUSIVE MODE",
        "SELECT count(*) FROM ops.sync_watermark",
        "ops.sync_watermark",
    ),
    "a row": (
        "UPDATE ops.tenant SET name = 'held' WHERE tenant_id = 'acme'",
        "UPDATE ops.tenant SET name = 'wanted' WHERE tenant_id = 'acme'",
        "rows that another transaction is changing",
    ),
    "an advisory lock": (
        "SELECT pg_advisory_xact_lock(7)",
        "SELECT pg_advisory_xact_lock(7)",
        "work that one process does at a time",
    ),
}


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_a_wait_says_for_whom_it_is_and_ends_with_an_error_that_says_it_too(
    warehouse: Warehouse, app: psycopg.Connection, caplog: pytest.LogCaptureFixture, conflict: str
):
    held, wanted, what = CONFLICTS[conflict]
    tenants.add(app, "acme", arango_database="acme")
    # A role may lock what it may read; only its owner or a superuser may lock it from all readers.
    user = "postgres" if conflict == "a table" else None
    with holding(warehouse, "cdp erase", held, user) as pid, caplog.at_level(logging.WARNING, waits.__name__):
        began = time.monotonic()
        with (
            pytest.raises(BusyError) as caught,
            connect(warehouse.settings) as connection,
            tenant_transaction(connection, "acme"),
        ):
            connection.execute(wanted)
        assert time.monotonic() - began < 30
    holder = f"PostgreSQL process {pid} (cdp erase, role "
    (said,) = [record.getMessage() for record in caplog.records if record.name == waits.__name__]
    assert said.startswith("Waiting since ")
    assert f" UTC for {what}, held by {holder}" in said
    assert holder in str(caught.value)


def test_a_wait_that_ends_well_was_not_silent(
    warehouse: Warehouse, app: psycopg.Connection, caplog: pytest.LogCaptureFixture
):
    act_as("cdp sync")
    with connect(warehouse.settings) as first, single_flight(first, "sync acme", wait_seconds=1) as free:
        assert free
        pid = first.info.backend_pid

        def let_go() -> None:
            while not caplog.records:
                time.sleep(0.1)
            first.execute("SELECT pg_advisory_unlock_all()")

        with caplog.at_level(logging.WARNING, waits.__name__):
            thread = threading.Thread(target=let_go)
            thread.start()
            with single_flight(app, "sync acme", wait_seconds=30) as mine:
                assert mine
            thread.join()
    assert f"PostgreSQL process {pid} (cdp sync, role test_app, idle, since 20" in caplog.text


def test_a_turn_that_does_not_come_names_who_has_it(warehouse: Warehouse):
    act_as("cdp reconcile")

    def work() -> None:
        with connect(warehouse.settings) as second, single_flight(second, "sync acme", wait_seconds=3) as mine:
            assert not mine
            raise BusyError("Another sync has been running for long.")

    with (
        connect(warehouse.settings) as first,
        single_flight(first, "sync acme", wait_seconds=1),
        pytest.raises(BusyError, match=r"running for long\. It is held by PostgreSQL process \d+ \(cdp reconcile"),
    ):
        work()


def test_a_statement_that_takes_too_long_is_stopped_and_names_its_setting(warehouse: Warehouse):
    hurried = warehouse.settings.model_copy(update={"statement_timeout": 1})
    with pytest.raises(BusyError, match=r"longer than 1 s .* PGSQL_STATEMENT_TIMEOUT"), connect(hurried) as connection:
        connection.execute("SELECT pg_sleep(30)")
    with connect(hurried) as connection, long_statements(connection, seconds=20):
        connection.execute("SELECT pg_sleep(1.5)")


def test_a_transaction_that_is_left_idle_holds_up_others_for_a_while_only(warehouse: Warehouse):

    def work() -> None:
        with connect(warehouse.settings) as connection, connection.transaction():
            connection.execute("SELECT 1")
            time.sleep(3)
            connection.execute("SELECT 1")

    with pytest.raises(UnavailableError, match="idle for more than 2 s"):
        work()


def test_what_a_killed_process_was_doing_in_the_server_ends_with_it(warehouse: Warehouse):
    """The server does not notice by itself that nobody waits for a statement's result any more."""
    script = (
        "from cdp_platform import settings\n"
        "from cdp_platform.warehouse.connection import act_as, connect\n"
        "act_as('cdp doomed')\n"
        "with connect(settings.postgres()) as connection:\n"
        "    connection.execute('SELECT pg_sleep(600)')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, **warehouse.environment()})
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cdp doomed' AND query LIKE '%pg_sleep%'"
    with warehouse.superuser() as connection:
        try:
            _until(lambda: connection.execute(asleep).fetchone() == (1,), 60)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        _until(lambda: connection.execute(asleep).fetchone() == (0,), 30)


@pytest.mark.parametrize("accepts", [True, False], ids=["it accepts and says nothing", "its backlog is full"])
def test_a_server_that_does_not_answer_is_given_up_in_time(warehouse: Warehouse, accepts: bool):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        crowd = [] if accepts else [socket.socket() for _ in range(4)]
        for each in crowd:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        silent = warehouse.settings.model_copy(update={"db_port": port})
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="PGSQL_ variables"), connect(silent):
            pass
        assert 2 < time.monotonic() - began < 15
        for each in crowd:
            each.close()


def _until(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


class Interruption(BaseException):
    """As Dagster's, which is no KeyboardInterrupt."""


def test_what_interrupts_a_statement_is_not_replaced_by_a_failure_of_what_cleans_up_behind_it(warehouse: Warehouse):
    def interrupt(*_: object) -> None:
        raise Interruption

    def work(connection: psycopg.Connection) -> None:
        with single_flight(connection, "work", wait_seconds=1) as free:
            assert free
            connection.execute("SELECT pg_sleep(3)")

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with connect(warehouse.settings) as connection:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(Interruption):
                work(connection)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert connection.closed
    with connect(warehouse.settings) as another, single_flight(another, "work", wait_seconds=3) as free:
        assert free


def test_a_forked_process_watches_its_own_connections_though_its_parent_held_the_lock(warehouse: Warehouse):
    with connect(warehouse.settings), waits._lock:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                signal.alarm(30)
                inherited = len(waits._watched)
                with connect(warehouse.settings):
                    code = 0 if inherited == 0 and waits._thread is not None and waits._thread.is_alive() else 1
            finally:
                os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
