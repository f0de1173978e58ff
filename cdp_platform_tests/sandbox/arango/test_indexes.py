import time
from typing import Any

import httpx2
import pytest
from arango.exceptions import DocumentInsertError, IndexCreateError

from cdp_platform_tests.sandbox_process import Database


@pytest.fixture
def people(db: Database) -> Any:
    return db.create_collection("people")


def test_an_index_is_created_once_listed_and_dropped(people: Any, http: httpx2.Client) -> None:
    body = {"type": "persistent", "fields": ["updatedAt", "_key"], "name": "by_update"}
    first = http.post("/_api/index?collection=people", json=body)
    again = http.post("/_api/index?collection=people", json=body)
    assert (first.status_code, first.json()["isNewlyCreated"]) == (201, True)
    assert (again.status_code, again.json()["isNewlyCreated"]) == (200, False)
    assert first.json()["id"] == again.json()["id"]
    assert [one["type"] for one in people.indexes()] == ["primary", "persistent"]
    assert http.get(f"/_api/index/{first.json()['id']}").json()["name"] == "by_update"
    assert http.get("/_api/index/people/by_update").json()["id"] == first.json()["id"]
    assert people.delete_index("by_update")
    gone = http.delete("/_api/index/people/by_update")
    assert (gone.status_code, gone.json()["errorNum"]) == (404, 1212)


def test_an_edge_collection_shows_its_edge_index(db: Database) -> None:
    links = db.create_collection("links", edge=True)
    assert [(one["type"], one["fields"]) for one in links.indexes()] == [
        ("primary", ["_key"]),
        ("edge", ["_from", "_to"]),
    ]


def test_a_unique_index_keeps_values_unique_through_every_kind_of_write(people: Any) -> None:
    people.add_index({"type": "persistent", "fields": ["mail.address"], "unique": True, "sparse": True, "name": "mail"})
    people.insert_many([{"_key": "a", "mail": {"address": "x"}}, {"_key": "b"}, {"_key": "c"}])
    with pytest.raises(DocumentInsertError) as error:
        people.insert({"mail": {"address": "x"}})
    assert (error.value.http_code, error.value.error_code) == (409, 1210)
    assert "mail.address" in str(error.value)
    told = people.update_many([{"_key": "b", "mail": {"address": "x"}}, {"_key": "c", "mail": {"address": "y"}}])
    assert [getattr(one, "error_code", None) for one in told] == [1210, None]
    people.delete("a")
    people.update({"_key": "b", "mail": {"address": "x"}})
    people.replace({"_key": "b"})
    people.insert({"_key": "d", "mail": {"address": "x"}})
    people.truncate()
    people.insert({"mail": {"address": "x"}})


def test_a_unique_index_that_is_not_sparse_holds_one_document_without_a_value(people: Any) -> None:
    people.add_index({"type": "persistent", "fields": ["n"], "unique": True})
    people.insert({})
    with pytest.raises(DocumentInsertError):
        people.insert({"n": None})


def test_a_unique_index_over_what_is_not_unique_is_refused(people: Any) -> None:
    people.insert_many([{"n": 1}, {"n": 1.0}])
    with pytest.raises(IndexCreateError) as error:
        people.add_index({"type": "persistent", "fields": ["n"], "unique": True})
    assert error.value.error_code == 1210
    assert len(people.indexes()) == 1


def test_indexes_that_would_only_be_fast_are_accepted(people: Any) -> None:
    people.add_index({"type": "geo", "fields": ["place"]})
    people.add_index({"type": "fulltext", "fields": ["text"]})
    people.add_index({"type": "skiplist", "fields": ["val"]})
    people.add_index({"type": "hash", "fields": ["val"]})
    assert [one["type"] for one in people.indexes()] == ["primary", "geo", "fulltext", "skiplist", "hash"]


def test_an_index_that_would_change_what_is_found_is_refused(people: Any, http: httpx2.Client) -> None:
    answer = http.post("/_api/index?collection=people", json={"type": "inverted", "fields": ["a"]})
    assert (answer.status_code, answer.json()["errorNum"]) == (501, 9)


def test_a_ttl_index_removes_documents_whose_time_has_come_and_no_others(people: Any) -> None:
    now = time.time()
    stays = [{"_key": "later", "at": now + 3600}, {"_key": "text", "at": "soon"}, {"_key": "none"}]
    goes = [{"_key": "past", "at": now - 61}, {"_key": "date", "at": "2020-01-01T00:00:00Z"}]
    people.insert_many([*stays, *goes, {"_key": "within", "at": now - 30}])
    people.add_index({"type": "ttl", "fields": ["at"], "expireAfter": 60})
    deadline = time.monotonic() + 60
    while people.count() > 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert {one["_key"] for one in people.all()} == {"later", "text", "none", "within"}
    with pytest.raises(IndexCreateError):
        people.add_index({"type": "ttl", "fields": ["other"], "expireAfter": 60})


def test_a_zkd_index_takes_documents_with_numbers_only(db: Database, people: Any, http: httpx2.Client) -> None:
    people.insert({"_key": "a", "from": 1, "to": 2.5})
    definition = {"type": "zkd", "fields": ["from", "to"], "fieldValueTypes": "double"}
    assert http.post("/_api/index?collection=people", json=definition).json()["sparse"] is False
    answer = http.post("/_api/document/people", json={"from": 1, "to": "x"})
    assert (answer.status_code, answer.json()["errorNum"]) == (400, 1561)
    assert len(people) == 1
    db.create_collection("empty").insert({})
    answer = http.post("/_api/index?collection=empty", json=definition)
    assert (answer.status_code, answer.json()["errorNum"]) == (400, 1561)


@pytest.mark.parametrize(
    "definition",
    [
        {"type": "persistent"},
        {"type": "persistent", "fields": []},
        {"type": "persistent", "fields": ["a", "a"]},
        {"type": "persistent", "fields": ["_id"]},
        {"type": "unheard-of", "fields": ["a"]},
        {"type": "geo", "fields": ["a", "b", "c"]},
        {"type": "fulltext", "fields": ["a", "b"]},
        {"type": "ttl", "fields": ["a"]},
        {"type": "ttl", "fields": ["a", "b"], "expireAfter": 1},
        [],
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(people: Any, http: httpx2.Client, definition: Any) -> None:
    assert http.post("/_api/index?collection=people", json=definition).status_code == 400


def test_the_primary_index_cannot_be_dropped(people: Any, http: httpx2.Client) -> None:
    assert http.get("/_api/index/people/0").json()["type"] == "primary"
    answer = http.delete("/_api/index/people/0")
    assert (answer.status_code, answer.json()["errorNum"]) == (403, 11)
