import threading
import time
from typing import Any

import httpx2
import pytest
from arango.exceptions import AQLQueryExecuteError, AQLQueryExplainError, AQLQueryValidateError, CursorNextError

from cdp_platform_tests.sandbox_process import Database, SandboxProcess

SEVEN = "FOR i IN 1..7 RETURN i"
NEXT = {"method": "POST", "path_regex": "/_api/cursor/"}


def _open(http: httpx2.Client, query: str = SEVEN, **options: Any) -> dict[str, Any]:
    answer = http.post("/_api/cursor", json={"query": query, "batchSize": 2, **options})
    assert answer.status_code == 201, answer.text
    return answer.json()


def _error(answer: httpx2.Response) -> tuple[int, int]:
    return answer.status_code, answer.json()["errorNum"]


def test_a_result_comes_in_batches_and_its_cursor_is_gone_after_the_last(http: httpx2.Client) -> None:
    first = _open(http, count=True)
    assert (first["result"], first["hasMore"], first["count"], first["nextBatchId"]) == ([1, 2], True, 7, "2")
    address = f"/_api/cursor/{first['id']}"
    assert http.post(address).json()["result"] == [3, 4]
    assert http.put(address).json()["result"] == [5, 6]
    last = http.post(address).json()
    assert (last["result"], last["hasMore"]) == ([7], False)
    assert not {"id", "nextBatchId"} & last.keys()
    assert _error(http.post(address)) == (404, 1600)
    assert _error(http.delete(address)) == (404, 1600)


def test_a_result_that_fits_needs_no_cursor(http: httpx2.Client) -> None:
    answer = http.post("/_api/cursor", json={"query": SEVEN}).json()
    assert (answer["result"], answer["hasMore"]) == ([1, 2, 3, 4, 5, 6, 7], False)
    assert not {"id", "nextBatchId", "count"} & answer.keys()
    assert answer["extra"]["warnings"] == []
    assert answer["extra"]["stats"]["executionTime"] > 0


def test_a_batch_holds_a_thousand_rows_when_nobody_says_otherwise(db: Database) -> None:
    cursor = db.aql.execute("FOR i IN 1..2500 RETURN i")
    assert len(cursor.batch()) == 1000
    assert list(cursor) == list(range(1, 2501))


def test_a_closed_cursor_is_gone(http: httpx2.Client) -> None:
    address = f"/_api/cursor/{_open(http)['id']}"
    closed = http.delete(address)
    assert (closed.status_code, closed.json()["code"]) == (202, 202)
    assert _error(http.post(address)) == (404, 1600)


def test_a_cursor_of_another_database_is_not_found(sandbox: SandboxProcess, http: httpx2.Client) -> None:
    identifier = _open(http)["id"]
    assert _error(sandbox.http().post(f"/_api/cursor/{identifier}")) == (404, 1600)
    assert http.post(f"/_api/cursor/{identifier}").status_code == 200


def test_a_cursor_that_nobody_asks_for_its_time_to_live_expires(http: httpx2.Client) -> None:
    address = f"/_api/cursor/{_open(http, ttl=0.5)['id']}"
    for expected in ([3, 4], [5, 6]):
        time.sleep(0.3)
        # Each access gives it its whole time again.
        assert http.post(address).json()["result"] == expected
    time.sleep(0.6)
    assert _error(http.post(address)) == (404, 1600)


def test_only_the_latest_batch_can_be_asked_for_again_and_the_last_one_stays_until_it_is_deleted(
    http: httpx2.Client,
) -> None:
    address = f"/_api/cursor/{_open(http, options={'allowRetry': True})['id']}"
    assert http.post(f"{address}/1").json()["result"] == [1, 2]
    second = http.post(f"{address}/2").json()
    assert (second["result"], second["nextBatchId"]) == ([3, 4], "3")
    assert http.post(f"{address}/2").json() == second
    assert _error(http.post(f"{address}/1")) == (404, 1600)
    assert _error(http.post(f"{address}/4")) == (404, 1600)
    assert http.post(f"{address}/3").json()["result"] == [5, 6]
    for _ in range(3):
        last = http.post(f"{address}/4").json()
        assert (last["result"], last["hasMore"]) == ([7], False)
    assert _error(http.post(address)) == (404, 1600)
    assert http.delete(address).status_code == 202
    assert _error(http.post(f"{address}/4")) == (404, 1600)


def test_without_allow_retry_no_batch_can_be_asked_for_again(http: httpx2.Client) -> None:
    address = f"/_api/cursor/{_open(http)['id']}"
    assert http.post(f"{address}/2").json()["result"] == [3, 4]
    assert _error(http.post(f"{address}/2")) == (404, 1600)


@pytest.mark.parametrize(("allow_retry", "received"), [(True, [1, 2, 3, 4, 5, 6, 7]), (False, [1, 2, 5, 6, 7])])
def test_a_lost_batch_is_lost_without_a_word_unless_retries_are_allowed(
    sandbox: SandboxProcess, db: Database, allow_retry: bool, received: list[int]
) -> None:
    sandbox.spoil({"match": NEXT, "action": "drop_after"})
    assert list(db.aql.execute(SEVEN, batch_size=2, allow_retry=allow_retry)) == received
    assert sandbox.fired() == [1]


def test_a_last_batch_that_was_lost_can_be_had_again(sandbox: SandboxProcess, db: Database) -> None:
    sandbox.spoil({"match": {**NEXT, "after": 2}, "action": "drop_after"})
    assert list(db.aql.execute(SEVEN, batch_size=2, allow_retry=True)) == [1, 2, 3, 4, 5, 6, 7]
    assert sandbox.fired() == [1]


def test_a_broken_cursor_is_an_error_and_not_the_end(sandbox: SandboxProcess, db: Database) -> None:
    cursor = db.aql.execute(SEVEN, batch_size=2)
    assert cursor.close()
    with pytest.raises(CursorNextError) as error:
        list(cursor)
    assert error.value.error_code == 1600


def test_a_stream_has_no_count_and_tells_of_itself_at_its_end(http: httpx2.Client) -> None:
    first = _open(http, count=True, options={"stream": True, "fullCount": True})
    assert not {"count", "extra"} & first.keys()
    address = f"/_api/cursor/{first['id']}"
    assert "extra" not in http.post(address).json()
    http.post(address)
    last = http.post(address).json()
    assert "fullCount" not in last["extra"]["stats"]
    assert "executionTime" in last["extra"]["stats"]


def test_a_result_is_a_snapshot(db: Database) -> None:
    people = db.create_collection("people")
    people.insert_many([{"_key": str(number), "n": number} for number in range(6)])
    cursor = db.aql.execute("FOR p IN people SORT p.n RETURN p.n", batch_size=2)
    people.truncate()
    assert list(cursor) == [0, 1, 2, 3, 4, 5]


def test_bind_variables_full_count_and_warnings_arrive(db: Database) -> None:
    db.create_collection("people").insert_many([{"n": number} for number in range(10)])
    cursor = db.aql.execute(
        "FOR p IN @@people FILTER p.n >= @least SORT p.n LIMIT 2 RETURN p.n",
        bind_vars={"@people": "people", "least": 4},
        full_count=True,
        count=True,
    )
    assert (list(cursor), cursor.count(), cursor.statistics()["fullCount"]) == ([4, 5], 2, 6)
    warned = db.aql.execute("RETURN 1 / 0")
    assert list(warned) == [None]
    assert [warning["code"] for warning in warned.warnings()] == [1562]
    with pytest.raises(AQLQueryExecuteError) as error:
        db.aql.execute("RETURN 1 / 0", fail_on_warning=True)
    assert error.value.error_code == 1562


def test_unsorted_documents_come_in_an_order_that_nobody_can_rely_on(db: Database) -> None:
    db.create_collection("people").insert_many([{"n": number} for number in range(100)])
    orders = {tuple(db.aql.execute("FOR p IN people RETURN p.n")) for _ in range(3)}
    assert len(orders) == 3
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(100))}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, 1502)),
        (b'{"query": ""}', (400, 1502)),
        (b'{"query": 7}', (400, 1502)),
        (b"{", (400, 600)),
        (b"[]", (400, 400)),
        (b'{"query": "RETURN 1", "batchSize": 0}', (400, 17)),
        (b'{"query": "RETURN 1", "options": []}', (400, 17)),
        (b'{"query": "RETURN 1", "bindVars": 7}', (400, 17)),
        (b'{"query": "RETURN 1", "options": {"maxRuntime": 1e-9}}', (410, 1500)),
        (b'{"query": "RETURN"}', (400, 1501)),
        (b'{"query": "FOR x IN nowhere RETURN x"}', (404, 1203)),
        (b'{"query": "RETURN @x"}', (400, 1551)),
        (b'{"query": "RETURN 1", "bindVars": {"x": 1}}', (400, 1552)),
        (b'{"query": "RETURN NO_SUCH(1)"}', (400, 1540)),
        (b'{"query": "RETURN MINUS([1, 2, 3], [1])"}', (400, 1501)),
        (b"{\"query\": \"RETURN REGEX_TEST('a', '(?i)A')\"}", (400, 1501)),
        (b'{"query": "FOR i IN 1..10000 RETURN i", "memoryLimit": 1000}', (500, 32)),
    ],
)
def test_a_query_that_cannot_run_is_refused(http: httpx2.Client, body: bytes, expected: tuple[int, int]) -> None:
    assert _error(http.post("/_api/cursor", content=body)) == expected


def test_a_query_is_checked_and_its_syntax_tree_is_refused(db: Database) -> None:
    for query, expected in (("FOR p IN people FILTER p.n == @n RETURN p", 9), ("INVALID QUERY", 1501), ("", 1502)):
        with pytest.raises(AQLQueryValidateError) as error:
            db.aql.validate(query)
        assert error.value.error_code == expected


def test_a_plan_tells_the_steps_that_run_and_that_nothing_was_optimized(db: Database) -> None:
    people = db.create_collection("people")
    people.insert_many([{} for _ in range(10)])
    told = db.aql.explain("FOR p IN people FILTER p.n == @n SORT p.n LIMIT 2 RETURN p", bind_vars={"n": 1})
    assert [node["type"].removesuffix("Node") for node in told["nodes"]] == [
        *("Singleton", "EnumerateCollection", "Calculation", "Filter", "Calculation", "Sort", "Limit", "Return")
    ]
    assert (told["rules"], told["isModificationQuery"]) == ([], False)
    assert told["collections"] == [{"name": "people", "type": "read"}]
    assert (told["nodes"][1]["estimatedNrItems"], told["nodes"][1]["estimatedCost"]) == (10, 12)
    change = db.aql.explain("FOR p IN people REMOVE p IN people", all_plans=True)
    assert [plan["isModificationQuery"] for plan in change] == [True]
    assert len(people) == 10
    for query, number in (("INVALID QUERY", 1501), ("FOR p IN nobody RETURN p", 1203), ("RETURN @x", 1551)):
        with pytest.raises(AQLQueryExplainError) as error:
            db.aql.explain(query)
        assert error.value.error_code == number


def test_a_profile_tells_what_each_step_did(db: Database, http: httpx2.Client) -> None:
    db.create_collection("people").insert_many([{"n": number % 2} for number in range(10)])
    query = "FOR p IN people FILTER p.n == 1 RETURN p.n"
    extra = http.post("/_api/cursor", json={"query": query, "options": {"profile": 2}}).json()["extra"]
    items = {node["type"]: extra["stats"]["nodes"][node["id"] - 1] for node in extra["plan"]["nodes"]}
    assert items["EnumerateCollectionNode"]["items"] == 10
    assert (items["FilterNode"]["items"], items["FilterNode"]["filtered"]) == (5, 5)
    assert extra["profile"]["parsing"] > 0
    assert extra["profile"]["initializing"] > 0
    assert "plan" not in http.post("/_api/cursor", json={"query": query, "options": {"profile": 1}}).json()["extra"]


def test_the_edges_of_a_document_are_found_by_direction(db: Database, http: httpx2.Client) -> None:
    links = db.create_collection("links", edge=True)
    links.insert_many([{"_key": "out", "_from": "p/1", "_to": "p/2"}, {"_key": "in", "_from": "p/2", "_to": "p/1"}])
    links.insert({"_from": "p/2", "_to": "p/3"})
    found = {
        way: {edge["_key"] for edge in http.get(f"/_api/edges/links?vertex=p/1{way}").json()["edges"]}
        for way in ("&direction=in", "&direction=out", "")
    }
    assert list(found.values()) == [{"in"}, {"out"}, {"in", "out"}]


def test_content_that_is_odd_but_lawful_passes_through_a_cursor(db: Database) -> None:
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    document = {"_key": "odd", "nul": "\0", "large": 2**64 - 1, "text": "x" * 5_000_000, "deep": deep}
    db.create_collection("people").insert(document)
    (found,) = db.aql.execute("FOR p IN people RETURN p")
    assert {name: found[name] for name in document} == document


def test_health_and_faults_answer_while_a_query_runs(sandbox: SandboxProcess, http: httpx2.Client) -> None:
    query = "FOR i IN 1..400000 FILTER i % 7 == 3 SORT i DESC LIMIT 1 RETURN i"
    running = threading.Thread(target=_open, args=[http, query])
    started = time.monotonic()
    other = sandbox.http()
    running.start()
    asked, slowest = 0, 0.0
    while running.is_alive():
        before = time.monotonic()
        assert other.get("/healthz").status_code == 200
        assert sandbox.fired() == []
        slowest = max(slowest, time.monotonic() - before)
        asked += 1
    assert asked > 3
    assert slowest < (time.monotonic() - started) / 2
