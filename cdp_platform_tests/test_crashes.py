"""The harness that kills: it kills where it says, and a work that was not killed is never taken for one that was."""

import gc
import os
import signal
import smtplib
import time
from collections.abc import Callable
from typing import Any

import httpx2
import psycopg
import pytest
import requests

from cdp_platform_tests import crashes
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.mail_server import mail_server
from cdp_platform_tests.sandbox_process import PASSWORD, SandboxProcess


@pytest.fixture
def notes(warehouse: Warehouse) -> Callable[[], list[int]]:
    """A table of numbers; reads it."""
    with warehouse.superuser() as connection:
        connection.execute("CREATE TABLE note (number int)")

    def read() -> list[int]:
        with warehouse.superuser() as connection:
            return [row[0] for row in connection.execute("SELECT number FROM note ORDER BY number")]

    return read


@pytest.fixture
def kills(warehouse: Warehouse, notes: Callable[[], list[int]]) -> Callable[..., list[tuple[str, list[int]]]]:
    """Kills work on an empty table after each write; the last exchange, and the rows that were left."""

    def empty() -> None:
        with warehouse.superuser() as connection:
            connection.execute("TRUNCATE note")

    def go(work: Callable[[psycopg.Connection], object]) -> list[tuple[str, list[int]]]:
        def connected(_: None) -> None:
            with warehouse.superuser() as connection:
                work(connection)

        return [(point.exchange, notes()) for point, _ in crashes.after_every_write(connected, empty)]

    return go


def _insert(connection: psycopg.Connection, number: int) -> None:
    connection.execute("INSERT INTO note VALUES (%s)", [number])


def test_each_point_leaves_just_what_was_written_before_it(kills: Any):
    left = kills(lambda connection: [_insert(connection, number) for number in (1, 2, 3)])
    assert left == [("INSERT INTO note VALUES", rows) for rows in ([1], [1, 2], [1, 2, 3])]


def test_what_was_not_committed_is_gone(kills: Any):
    def work(connection: psycopg.Connection) -> None:
        with connection.transaction():
            connection.execute("SELECT count(*) FROM note")
            _insert(connection, 1)
            _insert(connection, 2)

    # Until the first write there is nothing that a kill could leave.
    insert = "INSERT INTO note VALUES"
    assert kills(work) == [(insert, []), (insert, []), ("BaseTransaction._exit_gen", [1, 2])]


def _in_bulk(connection: psycopg.Connection) -> None:
    connection.cursor().executemany("INSERT INTO note VALUES (%s)", [[1], [2]])


def _in_bulk_in_a_transaction(connection: psycopg.Connection) -> None:
    with connection.transaction():
        _in_bulk(connection)


def _by_copy(connection: psycopg.Connection) -> None:
    with connection.cursor().copy("COPY note FROM STDIN") as copy:
        copy.write_row([1])
        copy.write_row([2])


def _with_commit(connection: psycopg.Connection) -> None:
    connection.autocommit = False
    _insert(connection, 1)
    _insert(connection, 2)
    connection.commit()


def _in_a_pipeline(connection: psycopg.Connection) -> None:
    with connection.pipeline():
        _insert(connection, 1)
        _insert(connection, 2)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (_in_bulk, [("BasePipeline._exit_gen", [1, 2])]),
        (_by_copy, [("copy_end", [1, 2])]),
        (_with_commit, [*[("INSERT INTO note VALUES", [])] * 2, ("BaseConnection._commit_gen", [1, 2])]),
        (_in_a_pipeline, [("BasePipeline._exit_gen", [1, 2])]),
        (_in_bulk_in_a_transaction, [("BasePipeline._exit_gen", []), ("BaseTransaction._exit_gen", [1, 2])]),
    ],
)
def test_no_way_of_writing_escapes(kills: Any, work: Any, expected: Any):
    assert kills(work) == expected


def test_a_function_that_writes_is_no_read(kills: Any, warehouse: Warehouse):
    with warehouse.superuser() as connection:
        connection.execute("CREATE FUNCTION note_it() RETURNS void BEGIN ATOMIC INSERT INTO note VALUES (1); END")

    def work(connection: psycopg.Connection) -> None:
        with connection.transaction():
            connection.execute("SELECT note_it()")

    assert kills(work) == [("SELECT note_it", []), ("BaseTransaction._exit_gen", [1])]


def _with_requests(address: str) -> None:
    requests.post(address, auth=("root", PASSWORD), json={}, timeout=30).raise_for_status()
    requests.get(f"{address}/count", auth=("root", PASSWORD), timeout=30)


def _with_httpx2(address: str) -> None:
    with httpx2.Client(auth=("root", PASSWORD)) as client:
        client.post(address, json={}).raise_for_status()
        client.get(f"{address}/count")


@pytest.mark.parametrize("send", [_with_requests, _with_httpx2])
def test_requests_that_can_write_are_points(sandbox: SandboxProcess, send: Callable[[str], None]):
    people = sandbox.new_database().create_collection("people")
    address = f"{sandbox.url}/_db/{people.db_name}/_api/document/people"
    points = []
    for point, _ in crashes.after_every_write(lambda _: [send(address), send(address)], people.truncate):
        assert people.count() == point.number
        points.append(point)
    request = f"POST /_db/{people.db_name}/_api/document"
    assert points == [crashes.KillPoint(number, request) for number in (1, 2)]


@pytest.mark.parametrize("send", [_with_requests, _with_httpx2])
def test_while_an_answer_is_under_way_the_other_side_does_what_it_was_asked(
    sandbox: SandboxProcess, send: Callable[[str], None]
):
    people = sandbox.new_database().create_collection("people")
    address = f"{sandbox.url}/_db/{people.db_name}/_api/document/people"
    points = []
    for point, _ in crashes.while_an_answer_is_under_way(lambda _: [send(address), send(address)], people.truncate):
        ends_at = time.monotonic() + 10
        while people.count() < point.number and time.monotonic() < ends_at:
            time.sleep(0.01)
        assert people.count() == point.number
        points.append(point)
    request = f"POST /_db/{people.db_name}/_api/document"
    assert points == [crashes.KillPoint(number, request) for number in (1, 2)]


def test_the_end_of_a_message_by_smtp_is_a_point():
    def send(_: None) -> None:
        with smtplib.SMTP("127.0.0.1", port) as smtp:
            for number in (1, 2):
                smtp.sendmail("us@example.org", ["you@example.org"], f"Subject: {number}\r\n\r\nEnd.\r\n")

    with mail_server() as (port, taken):
        points = [(point, list(taken)) for point, _ in crashes.after_every_write(send, taken.clear)]
    end, first, second = "the end of a message by SMTP", b"Subject: 1\r\n", b"Subject: 2\r\n"
    assert points == [(crashes.KillPoint(1, end), [first]), (crashes.KillPoint(2, end), [first, second])]


def test_work_that_writes_nothing_proves_nothing(kills: Any):
    def work(connection: psycopg.Connection) -> None:
        with connection.transaction():
            connection.execute("SELECT count(*) FROM note")

    with pytest.raises(AssertionError, match="wrote nothing"):
        kills(work)


def test_work_that_fails_is_told_with_its_error_and_where(kills: Any):
    def work(connection: psycopg.Connection) -> None:
        _insert(connection, 1)
        raise RuntimeError("this is no kill")

    with pytest.raises(AssertionError, match=r"(?s)failed after exchange 1 \(INSERT INTO.*this is no kill"):
        kills(work)


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_work_that_somebody_else_ends_was_not_killed_here(kills: Any, signal_number: int):
    with pytest.raises(AssertionError, match=r"SIGTERM|somebody else"):
        kills(lambda _connection: os.kill(os.getpid(), signal_number))


def test_connections_of_the_test_survive_the_kills(kills: Any, app: psycopg.Connection):
    session = app.info.backend_pid
    assert len(kills(lambda connection: [_insert(connection, 1), gc.collect()])) == 1
    assert app.execute("SELECT pg_backend_pid()").fetchone() == (session,)
