import socket
import threading
import time
from typing import Any

import httpx2
import pytest
import requests

from cdp_platform_tests.sandbox_process import PASSWORD, Database, SandboxProcess

WRITE = {"method": "POST", "path_regex": "/_api/document/people"}


@pytest.fixture
def people(db: Database) -> Any:
    return db.create_collection("people")


@pytest.fixture
def raw(sandbox: SandboxProcess, people: Any) -> Any:
    """Sends one insert over a bare socket and returns every byte that comes back until the connection ends."""

    def send() -> bytes:
        credentials = httpx2.BasicAuth("root", PASSWORD)._auth_header
        body = b'{"_key": "k"}'
        head = (
            f"POST /_db/{people.db_name}/_api/document/people HTTP/1.1\r\nhost: sandbox\r\n"
            f"authorization: {credentials}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", sandbox.port), timeout=5) as connection:
            connection.sendall(head.encode() + body)
            received = b""
            try:
                while chunk := connection.recv(65536):
                    received += chunk
            except ConnectionResetError:
                pass
            return received

    return send


def test_a_connection_dropped_before_does_nothing_and_says_nothing(
    sandbox: SandboxProcess, people: Any, raw: Any
) -> None:
    sandbox.spoil({"match": WRITE, "action": "drop_before"})
    assert raw() == b""
    assert sandbox.fired() == [1]
    assert people.count() == 0


def test_a_connection_dropped_after_has_done_its_work_and_says_nothing(
    sandbox: SandboxProcess, people: Any, raw: Any
) -> None:
    sandbox.spoil({"match": WRITE, "action": "drop_after"})
    assert raw() == b""
    assert sandbox.fired() == [1]
    assert people.count() == 1


def test_a_truncated_answer_breaks_off_in_its_body(sandbox: SandboxProcess, people: Any, raw: Any) -> None:
    sandbox.spoil({"match": WRITE, "action": "truncate"})
    head, _, body = raw().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 202")
    length = int(next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))[15:])
    assert 0 < len(body) < length
    assert people.count() == 1


@pytest.mark.parametrize("action", ["drop_before", "drop_after", "truncate"])
def test_clients_see_a_broken_connection(
    sandbox: SandboxProcess, http: httpx2.Client, people: Any, action: str
) -> None:
    sandbox.spoil({"match": WRITE, "action": action, "times": 2})
    with pytest.raises(httpx2.TransportError):
        http.post("/_api/document/people", json={})
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        requests.post(f"{http.base_url}_api/document/people", auth=("root", PASSWORD), json={}, timeout=5)
    assert http.post("/_api/document/people", json={}).status_code == 202
    assert sandbox.fired() == [2]


def test_an_insert_that_is_sent_again_after_a_lost_answer_is_told_as_a_duplicate(
    sandbox: SandboxProcess, people: Any
) -> None:
    sandbox.spoil({"match": WRITE, "action": "drop_after"})
    # python-arango sends every request again when a connection breaks.
    with pytest.raises(Exception, match="unique constraint violated"):
        people.insert({"_key": "k"})
    assert people.count() == 1
    assert sandbox.fired() == [1]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, (500, None, "")),
        ({"status": 503, "body": {"errorNum": 503}}, (503, None, '{"errorNum":503}')),
        ({"status": 429, "retry_after": 2, "body": "slow down"}, (429, "2", "slow down")),
    ],
)
def test_a_refusal_has_its_status_header_and_body_and_nothing_is_done(
    sandbox: SandboxProcess, http: httpx2.Client, people: Any, rule: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    sandbox.spoil({"match": WRITE, "action": "status", **rule})
    answer = http.post("/_api/document/people", json={})
    assert (answer.status_code, answer.headers.get("retry-after"), answer.text) == expected
    assert people.count() == 0
    assert sandbox.fired() == [1]


def test_a_delayed_answer_comes_late_and_delays_nobody_else(
    sandbox: SandboxProcess, http: httpx2.Client, people: Any
) -> None:
    sandbox.spoil({"match": WRITE, "action": "delay", "seconds": 3})
    started = time.monotonic()
    slow = threading.Thread(target=http.post, args=["/_api/document/people"], kwargs={"json": {}})
    slow.start()
    while sandbox.fired() == [0]:
        time.sleep(0.01)
    assert people.count() == 0
    assert time.monotonic() - started < 2.9
    slow.join()
    assert time.monotonic() - started >= 3
    assert people.count() == 1


def test_a_rule_fires_after_and_as_often_as_it_says(sandbox: SandboxProcess, http: httpx2.Client, people: Any) -> None:
    sandbox.spoil(
        {"match": {**WRITE, "after": 2}, "times": 2, "action": "status"},
        {"match": {"path_regex": "/people/count$"}, "times": None, "action": "status", "status": 503},
    )
    statuses = [http.post("/_api/document/people", json={}).status_code for _ in range(6)]
    assert statuses == [202, 202, 500, 500, 202, 202]
    assert [http.get("/_api/collection/people/count").status_code for _ in range(4)] == [503] * 4
    assert sandbox.fired() == [2, 4]
    rules = httpx2.get(f"{sandbox.url}/_sandbox/faults").json()
    assert [rule["matched"] for rule in rules] == [6, 4]


def test_cleared_rules_spoil_nothing(sandbox: SandboxProcess, http: httpx2.Client, people: Any) -> None:
    sandbox.spoil({"match": {}, "action": "drop_before", "times": None})
    assert httpx2.get(f"{sandbox.url}/healthz").json()["status"] == "ok"
    assert httpx2.delete(f"{sandbox.url}/_sandbox/faults").json() == []
    assert http.post("/_api/document/people", json={}).status_code == 202


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "explode"},
        {"action": "delay", "match": {"path_regex": "("}},
        {"action": "delay", "match": {"path": "/"}},
        {"action": "delay", "secondz": 1},
        "drop",
    ],
)
def test_a_rule_that_says_nothing_sensible_is_refused(sandbox: SandboxProcess, rule: Any) -> None:
    answer = httpx2.post(f"{sandbox.url}/_sandbox/faults", json=[rule])
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert sandbox.fired() == []
