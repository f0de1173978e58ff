from typing import Any

import httpx
import pytest
from arango.exceptions import DocumentInsertError, IndexCreateError

from cdp_platform_tests.sandbox.arango.conftest import Database


@pytest.fixture
def people(db: Database) -> Any:
    return db.create_collection("people")


def test_an_index_is_created_once_listed_and_dropped(people: Any, http: httpx.Client) -> None:
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


@pytest.mark.parametrize("kind", ["ttl", "inverted", "zkd"])
def test_indexes_that_would_change_what_is_stored_or_found_are_refused(
    people: Any, http: httpx.Client, kind: str
) -> None:
    answer = http.post("/_api/index?collection=people", json={"type": kind, "fields": ["a"], "expireAfter": 1})
    assert (answer.status_code, answer.json()["errorNum"]) == (501, 9)


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
        [],
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(people: Any, http: httpx.Client, definition: Any) -> None:
    assert http.post("/_api/index?collection=people", json=definition).status_code == 400


def test_the_primary_index_cannot_be_dropped(people: Any, http: httpx.Client) -> None:
    assert http.get("/_api/index/people/0").json()["type"] == "primary"
    answer = http.delete("/_api/index/people/0")
    assert (answer.status_code, answer.json()["errorNum"]) == (403, 11)
