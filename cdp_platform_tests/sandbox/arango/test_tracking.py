"""What is noted of queries, and the cache of their results."""

import httpx2
import pytest

from cdp_platform_tests.sandbox_process import Database


def test_a_slow_query_is_noted_until_the_list_is_cleared(db: Database) -> None:
    assert (db.aql.queries(), db.aql.slow_queries()) == ([], [])
    properties = db.aql.set_tracking(slow_query_threshold=0, max_slow_queries=2, max_query_string_length=9)
    assert (properties["slow_query_threshold"], db.aql.tracking()["max_slow_queries"]) == (0, 2)
    for number in range(3):
        db.aql.execute("RETURN @n + 0", bind_vars={"n": number})
    slow = db.aql.slow_queries()
    assert [(one["query"], one["bind_vars"], one["state"]) for one in slow] == [
        ("RETURN @n", {"n": 1}, "finished"),
        ("RETURN @n", {"n": 2}, "finished"),
    ]
    assert db.aql.clear_slow_queries()
    db.aql.set_tracking(track_slow_queries=False)
    db.aql.execute("RETURN 1")
    assert db.aql.slow_queries() == []


def test_there_is_no_running_query_to_kill(http: httpx2.Client) -> None:
    answer = http.delete("/_api/query/5")
    assert (answer.status_code, answer.json()["errorNum"]) == (404, 1591)


@pytest.fixture
def cached(db: Database):
    db.aql.cache.configure(mode="on")
    yield db
    db.aql.cache.configure(mode="off")


def test_a_result_comes_from_the_cache_until_its_collection_changes(cached: Database) -> None:
    people = cached.create_collection("people")
    people.insert({"n": 1})
    query, binds = "FOR p IN @@c FILTER p.n > @n RETURN p.n", {"@c": "people", "n": 0}

    def ask() -> tuple[bool, list]:
        cursor = cached.aql.execute(query, bind_vars=binds)
        return cursor.cached(), list(cursor)

    assert [ask(), ask()] == [(False, [1]), (True, [1])]
    (entry,) = cached.aql.cache.entries()
    assert (entry["query"], entry["bind_vars"], entry["hits"], entry["results"]) == (query, binds, 1, 1)
    people.insert({"n": 2})
    assert ask()[0] is False
    assert sorted(ask()[1]) == [1, 2]
    assert cached.aql.cache.clear()
    assert cached.aql.cache.entries() == []


def test_what_may_differ_next_time_is_never_cached(cached: Database) -> None:
    cached.create_collection("people")
    for query in (
        "RETURN RAND()",
        "RETURN DATE_NOW()",
        "RETURN DOCUMENT('people/1')",
        "RETURN 1 / 0",
        "INSERT {} INTO people",
    ):
        for _ in range(2):
            assert cached.aql.execute(query).cached() is False
    assert cached.aql.execute("RETURN 1", cache=False).cached() is False
    assert cached.aql.cache.entries() == []


def test_the_cache_keeps_no_more_than_it_may_and_nothing_when_it_is_off(db: Database, http: httpx2.Client) -> None:
    assert db.aql.cache.properties()["mode"] == "off"
    assert not db.aql.execute("RETURN 1", cache=True).cached()
    assert db.aql.cache.entries() == []
    db.aql.cache.configure(mode="demand", max_results=2)
    for number in range(4):
        db.aql.execute(f"RETURN {number}", cache=True)
    db.aql.execute("RETURN 5")
    assert [entry["query"] for entry in db.aql.cache.entries()] == ["RETURN 2", "RETURN 3"]
    db.aql.cache.configure(mode="off", max_results=128)
    assert db.aql.cache.entries() == []
    assert http.put("/_api/query-cache/properties", json={"mode": "sometimes"}).status_code == 400
