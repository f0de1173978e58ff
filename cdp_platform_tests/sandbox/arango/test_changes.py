"""Queries that change documents."""

from typing import Any

import httpx2
import pytest
from arango.exceptions import AQLQueryExecuteError

from cdp_platform_tests.sandbox_process import Database


@pytest.fixture
def people(db: Database) -> Any:
    people = db.create_collection("people")
    people.insert_many([{"_key": str(number), "n": number, "kept": {"a": 1}} for number in range(1, 4)])
    return people


def test_each_verb_changes_and_returns_what_was_and_what_is(db: Database, people: Any) -> None:
    updated = db.aql.execute("UPDATE '1' WITH {kept: {b: 2}} IN people RETURN [OLD.kept, NEW.kept, NEW.n]")
    assert list(updated) == [[{"a": 1}, {"a": 1, "b": 2}, 1]]
    replaced = db.aql.execute("REPLACE {_key: '2', m: 5} IN people LET new = NEW RETURN [OLD.n, new.m, new.n]")
    assert list(replaced) == [[2, 5, None]]
    assert list(db.aql.execute("REMOVE '3' IN people RETURN OLD.n")) == [3]
    inserted = db.aql.execute("FOR n IN 7..8 INSERT {_key: TO_STRING(n), n} INTO people RETURN NEW._id")
    assert list(inserted) == ["people/7", "people/8"]
    assert {one["_key"]: one.get("n") for one in people.all()} == {"1": 1, "2": None, "7": 7, "8": 8}


def test_a_change_is_counted_and_without_return_gives_no_rows(db: Database, people: Any) -> None:
    cursor = db.aql.execute("FOR p IN @@c FILTER p.n > 1 REMOVE p IN @@c", bind_vars={"@c": "people"}, count=True)
    assert (list(cursor), cursor.count(), cursor.statistics()["modified"]) == ([], 0, 2)
    assert len(people) == 1


def test_a_query_does_not_read_what_it_writes(db: Database, people: Any) -> None:
    db.aql.execute("FOR p IN people INSERT {n: p.n} INTO people")
    assert len(people) == 6


def test_a_query_that_fails_has_changed_nothing(db: Database, people: Any) -> None:
    before = people.revision()
    for query, number in (
        ("FOR key IN ['1', 'nobody'] REMOVE key IN people", 1202),
        ("FOR key IN ['9', '1'] INSERT {_key: key} INTO people", 1210),
        ("FOR p IN people UPDATE p WITH {n: 1 / 0} IN people RETURN ASSERT(false, 'no')", 1540),
        ("FOR p IN people UPDATE {n: 1} IN people", 1226),
        ("UPDATE '1' WITH 5 IN people", 1227),
        ("REMOVE '1' IN nobody", 1203),
    ):
        with pytest.raises(AQLQueryExecuteError) as error:
            db.aql.execute(query)
        assert error.value.error_code == number
    assert (len(people), people.revision()) == (3, before)


def test_errors_that_are_to_be_ignored_are_counted(db: Database, people: Any) -> None:
    cursor = db.aql.execute("FOR key IN ['1', 'nobody'] REMOVE key IN people OPTIONS {ignoreErrors: true} RETURN OLD.n")
    assert (list(cursor), cursor.statistics()["modified"], cursor.statistics()["ignored"]) == ([1], 1, 1)


def test_options_say_what_becomes_of_nulls_objects_revisions_and_duplicates(db: Database, people: Any) -> None:
    query = "UPDATE '1' WITH {n: null, kept: {b: 1}} IN people OPTIONS {keepNull: @keep, mergeObjects: false}"
    db.aql.execute(query, bind_vars={"keep": False})
    assert (people["1"].get("n", "gone"), people["1"]["kept"]) == ("gone", {"b": 1})
    with pytest.raises(AQLQueryExecuteError) as error:
        db.aql.execute("REMOVE {_key: '2', _rev: 'x'} IN people OPTIONS {ignoreRevs: false}")
    assert (error.value.http_code, error.value.error_code) == (409, 1200)
    query = "INSERT {_key: '2', m: 1} INTO people OPTIONS {overwriteMode: 'update'} RETURN [OLD.n, NEW.n, NEW.m]"
    assert list(db.aql.execute(query)) == [[2, 2, 1]]
    with pytest.raises(AQLQueryExecuteError) as error:
        db.aql.execute("INSERT {_key: '2'} INTO people OPTIONS {overwriteMode: 'ignore'}")
    assert (error.value.http_code, error.value.error_code) == (400, 1501)


def test_the_match_methods_of_the_driver_work(people: Any) -> None:
    assert people.update_match({"n": 2}, {"n": 1}) == 1
    assert people.update_match({"n": 1}, {"m": 1}, limit=1) == 1
    assert people.replace_match({"n": 1}, {"x": 1}) == 2
    assert people.delete_match({"x": 1}) == 2
    assert [one["_key"] for one in people.all()] == ["3"]


def test_what_a_query_changed_is_there_after_it_and_its_plan_changes_nothing(
    db: Database, people: Any, http: httpx2.Client
) -> None:
    answer = http.post("/_api/cursor", json={"query": "FOR p IN people UPDATE p WITH {m: 1} IN people", "options": {}})
    assert answer.json()["extra"]["stats"]["writesExecuted"] == 3
    db.aql.explain("FOR p IN people REMOVE p IN people")
    assert [one["m"] for one in people.all()] == [1, 1, 1]
