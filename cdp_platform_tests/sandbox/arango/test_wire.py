import threading
import time

import httpx2
import pytest

from cdp_platform_tests.sandbox_process import Database, SandboxProcess


def test_every_answer_has_the_headers_of_a_3_11_server(http: httpx2.Client) -> None:
    for path in ("/_api/version", "/_api/document/nowhere/1", "/_api/collection"):
        headers = http.get(path).headers
        assert headers["content-type"] == "application/json"
        assert headers["server"] == "ArangoDB"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-arango-queue-time-seconds"] == "0.000000"
        assert "date" not in headers


def test_the_version_is_3_11_and_the_details_say_that_it_is_a_stand_in(db: Database) -> None:
    assert db.version() == "3.11.14"
    assert db.details()["cdp-sandbox"] == "stand-in"
    assert db.engine()["name"] == "rocksdb"
    assert db.role() == "SINGLE"
    assert db.status()["version"] == "3.11.14"


def test_an_unknown_path_is_told_with_its_path(http: httpx2.Client) -> None:
    answer = http.get("/_api/nonsense?x=1")
    assert answer.status_code == 404
    message = "unknown path '/_api/nonsense'"
    assert answer.json() == {"code": 404, "error": True, "errorMessage": message, "errorNum": 404}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/_api/user/root"),
        ("PUT", "/_api/user/root/database/_system"),
        ("GET", "/_api/view"),
        ("GET", "/_api/aqlfunction"),
        ("GET", "/_api/query/rules"),
        ("POST", "/_api/transaction/begin"),
        ("GET", "/_api/wal/tail"),
        ("POST", "/_api/tasks"),
        ("PUT", "/_api/simple/all"),
    ],
)
def test_what_is_not_implemented_is_refused_and_not_guessed(http: httpx2.Client, method: str, path: str) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, answer.json()["errorNum"]) == (501, 9)


def test_a_request_for_later_or_inside_of_a_transaction_is_refused(http: httpx2.Client, db: Database) -> None:
    people = db.create_collection("people")
    later = http.post("/_api/document/people", json={}, headers={"x-arango-async": "store"})
    assert (later.status_code, later.json()["errorNum"]) == (501, 9)
    inside = http.post("/_api/document/people", json={}, headers={"x-arango-trx-id": "123"})
    assert (inside.status_code, inside.json()["errorNum"]) == (404, 1655)
    assert people.count() == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", "/_api/collection"), ("PUT", "/_api/import"), ("GET", "/_api/cursor"), ("POST", "/_api/version")],
)
def test_a_method_that_a_path_does_not_know_is_refused(http: httpx2.Client, method: str, path: str) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, answer.json()["errorNum"]) == (405, 405)


def test_the_page_says_what_answers_and_what_it_holds(sandbox: SandboxProcess, db: Database) -> None:
    db.create_collection("<odd>").insert_many([{}] * 1234)
    page = httpx2.get(f"{sandbox.url}/")
    assert page.headers["content-type"].startswith("text/html")
    for part in ("ArangoDB", sandbox.url, str(sandbox.state_dir), db.name, "&lt;odd&gt;", "1,234"):
        assert part in page.text


def test_health_is_told_while_the_store_is_busy(sandbox: SandboxProcess, http: httpx2.Client, db: Database) -> None:
    db.create_collection("people")
    body = b"[" + b",".join([b'{"n": 1.0, "text": "%s"}' % (b"x" * 200)] * 30_000) + b"]"
    busy = threading.Thread(
        target=http.post, args=["/_api/import?type=list&collection=people"], kwargs={"content": body}
    )
    other = sandbox.http()
    began = time.monotonic()
    busy.start()
    slowest = 0.0
    while busy.is_alive():
        started = time.monotonic()
        assert other.get("/healthz").status_code == 200
        slowest = max(slowest, time.monotonic() - started)
    # Shares, because on a busy machine all of it takes longer.
    assert slowest < (time.monotonic() - began) / 2
