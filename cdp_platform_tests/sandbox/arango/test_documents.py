from typing import Any

import httpx2
import orjson
import pytest
from arango.exceptions import DocumentInsertError, DocumentReplaceError, DocumentRevisionError, DocumentUpdateError

from cdp_platform_tests.sandbox_process import Database
from cdp_sandbox.arango.clock import decode_revision


@pytest.fixture
def people(db: Database) -> Any:
    return db.create_collection("people")


def test_an_inserted_document_is_there_with_key_id_and_revision(people: Any) -> None:
    told = people.insert({"name": "An"})
    assert told["_id"] == f"people/{told['_key']}"
    assert people.get(told["_key"]) == {**told, "name": "An"}
    assert told["_key"] in people
    assert "nobody" not in people


def test_revisions_of_one_server_ascend(people: Any) -> None:
    revisions = [people.insert({})["_rev"] for _ in range(50)]
    readings = [decode_revision(revision) for revision in revisions]
    assert readings == sorted(set(readings))


def test_generated_keys_ascend_above_every_key_that_a_client_chose(people: Any) -> None:
    people.insert({"_key": "900000"})
    keys = [int(people.insert({})["_key"]) for _ in range(3)]
    assert keys == [900001, 900002, 900003]


@pytest.mark.parametrize("key", ["", "a/b", "blank blank", "é", 7, None, "x" * 255])
def test_a_bad_key_is_refused(http: httpx2.Client, people: Any, key: Any) -> None:
    answer = http.post("/_api/document/people", json={"_key": key})
    assert (answer.status_code, answer.json()["errorNum"]) == (400, 1221)


def test_every_character_that_a_key_may_have_is_accepted(people: Any) -> None:
    key = "aZ09_-:.@()+,=;$!*'%"
    people.insert({"_key": key})
    assert people.get(key)["_id"] == f"people/{key}"


def test_a_taken_key_is_a_conflict_and_changes_nothing(people: Any) -> None:
    people.insert({"_key": "a", "n": 1})
    with pytest.raises(DocumentInsertError) as error:
        people.insert({"_key": "a", "n": 2})
    assert (error.value.http_code, error.value.error_code) == (409, 1210)
    assert people.get("a")["n"] == 1


@pytest.mark.parametrize(
    ("mode", "stored"),
    [
        ("replace", {"b": {"y": None}}),
        ("update", {"a": 1, "b": {"x": 1, "y": None}}),
        ("ignore", {"a": 1, "b": {"x": 1}}),
    ],
)
def test_an_insert_over_a_document_does_what_its_mode_says(people: Any, mode: Any, stored: dict[str, Any]) -> None:
    first = people.insert({"_key": "k", "a": 1, "b": {"x": 1}})
    told = people.insert({"_key": "k", "b": {"y": None}}, overwrite_mode=mode)
    found = people.get("k")
    assert {name: value for name, value in found.items() if not name.startswith("_")} == stored
    assert told["_rev"] == found["_rev"]
    assert (told["_rev"] == first["_rev"]) is (mode == "ignore")


def test_an_update_merges_and_removes_as_it_is_told(people: Any) -> None:
    people.insert({"_key": "k", "a": {"x": 1, "y": {"z": 1}}, "b": 1})
    people.update({"_key": "k", "a": {"y": {"w": 2}}})
    assert people.get("k")["a"] == {"x": 1, "y": {"z": 1, "w": 2}}
    people.update({"_key": "k", "a": {"x": None}, "b": None}, keep_none=False)
    assert people.get("k")["a"] == {"y": {"z": 1, "w": 2}}
    assert "b" not in people.get("k")
    people.update({"_key": "k", "a": {"v": 3}}, merge=False)
    assert people.get("k")["a"] == {"v": 3}


def test_old_and_new_are_returned_when_asked_for(people: Any) -> None:
    people.insert({"_key": "k", "n": 1})
    told = people.replace({"_key": "k", "n": 2}, return_old=True, return_new=True)
    assert (told["old"]["n"], told["new"]["n"]) == (1, 2)
    assert told["_old_rev"] == told["old"]["_rev"]
    assert people.delete("k", return_old=True)["old"]["n"] == 2
    assert people.insert({}, silent=True) is True


def test_a_write_to_another_revision_is_refused_and_tells_the_current_one(http: httpx2.Client, people: Any) -> None:
    first = people.insert({"_key": "k"})
    second = people.update({"_key": "k", "n": 1})
    answer = http.put("/_api/document/people/k", json={}, headers={"if-match": f'"{first["_rev"]}"'})
    assert answer.status_code == 412
    assert answer.json()["errorNum"] == 1200
    assert answer.json()["_rev"] == second["_rev"]
    assert answer.headers["etag"] == f'"{second["_rev"]}"'
    with pytest.raises(DocumentRevisionError):
        people.update({"_key": "k", "_rev": first["_rev"], "n": 2}, check_rev=True)
    assert people.get("k")["n"] == 1


def test_a_document_that_did_not_change_is_not_sent_again(http: httpx2.Client, people: Any) -> None:
    revision = people.insert({"_key": "k"})["_rev"]
    same = http.get("/_api/document/people/k", headers={"if-none-match": f'"{revision}"'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", f'"{revision}"')
    other = http.get("/_api/document/people/k", headers={"if-none-match": '"other"'})
    assert other.status_code == 200
    head = http.head("/_api/document/people/k")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(other.content))


def test_asking_for_another_revision_is_told_as_a_conflict(people: Any) -> None:
    revision = people.insert({"_key": "k"})["_rev"]
    assert people.has("k", rev=revision)
    assert people.get("k", rev=f"{revision}0", check_rev=False)["_rev"] == revision
    for ask in (people.has, people.get):
        with pytest.raises(DocumentRevisionError):
            ask("k", rev=f"{revision}0")
    told = people.delete_many([{"_key": "k", "_rev": f"{revision}0"}], check_rev=True)
    assert (told[0].http_code, told[0].error_code) == (202, 1200)
    assert people.delete({"_key": "k", "_rev": revision})


def test_what_is_not_there_is_told_as_not_found(http: httpx2.Client, people: Any) -> None:
    for method in ("get", "delete"):
        answer = getattr(http, method)("/_api/document/people/nobody")
        assert (answer.status_code, answer.json()["errorNum"]) == (404, 1202)
    answer = http.post("/_api/document/nowhere", json={})
    assert (answer.status_code, answer.json()["errorNum"]) == (404, 1203)
    with pytest.raises(DocumentReplaceError) as replaced:
        people.replace({"_key": "nobody"})
    with pytest.raises(DocumentUpdateError) as updated:
        people.update({"_key": "nobody"})
    assert replaced.value.error_code == updated.value.error_code == 1202


def test_many_documents_succeed_and_fail_one_by_one(http: httpx2.Client, people: Any) -> None:
    people.insert({"_key": "a"})
    told = people.insert_many([{"_key": "a"}, {"_key": "b"}, {"_key": 7}, {"_key": "c"}])
    assert [getattr(one, "error_code", None) for one in told] == [1210, None, 1221, None]
    assert people.count() == 3
    answer = http.request("DELETE", "/_api/document/people", json=["a", "nobody", "other/b", {"_key": "b"}])
    assert answer.status_code == 202
    assert answer.headers["x-arango-error-codes"] == '{"1202":2}'
    assert ["error" in one for one in answer.json()] == [False, True, True, False]


def test_many_documents_are_read_in_the_order_asked_for(people: Any) -> None:
    people.insert_many([{"_key": str(number)} for number in range(5)])
    assert [one["_key"] for one in people.get_many(["3", "1", "nobody", "2"])] == ["3", "1", "2"]


def test_an_edge_needs_both_its_ends(db: Database, http: httpx2.Client) -> None:
    links = db.create_collection("links", edge=True)
    assert links.insert({"_from": "people/1", "_to": "people/2"})
    for edge in ({"_from": "people/1"}, {"_from": "people", "_to": "people/2"}, {"_from": 1, "_to": "people/2"}):
        answer = http.post("/_api/document/links", json=edge)
        assert (answer.status_code, answer.json()["errorNum"]) == (400, 1233)


def test_synced_writes_are_told_as_created_and_others_as_accepted(db: Database, http: httpx2.Client) -> None:
    db.create_collection("synced", sync=True)
    db.create_collection("plain")
    assert http.post("/_api/document/synced", json={"_key": "k"}).status_code == 201
    assert http.patch("/_api/document/synced/k", json={}).status_code == 201
    assert http.delete("/_api/document/synced/k").status_code == 200
    answer = http.post("/_api/document/plain", json={"_key": "k"})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/_db/{db.name}/_api/document/plain/k"
    assert http.post("/_api/document/plain?waitForSync=true", json={}).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{1: 2}",
        b'{"a": NaN}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": 1e999}',
    ],
)
def test_a_body_that_is_no_json_is_refused(http: httpx2.Client, people: Any, body: bytes) -> None:
    answer = http.post("/_api/document/people", content=body)
    assert (answer.status_code, answer.json()["errorNum"]) == (400, 600)


def test_a_document_nested_too_deep_is_refused_and_one_at_the_limit_is_returned(
    http: httpx2.Client, people: Any
) -> None:
    for levels, status in ((190, 202), (250, 400), (900, 400), (5000, 400)):
        body = b'{"_key": "d%d", "a": ' % levels + b"[" * levels + b"]" * levels + b"}"
        answer = http.post("/_api/document/people", content=body)
        assert answer.status_code == status, levels
        assert status == 202 or answer.json()["errorNum"] == 600
    assert people.get("d190")["a"] == orjson.loads(b"[" * 190 + b"]" * 190)


def test_odd_but_lawful_content_comes_back_as_it_was(people: Any) -> None:
    document = {
        "_key": "odd",
        "nul": "a\0b",
        "empty name": {"": 1},
        "large": [2**63 - 1, -(2**63), 2**64 - 1],
        "text": "Nguyễn \U0001f600 \u2028 \ufeff \u202e",
        "five megabytes": "x" * 5_000_000,
    }
    people.insert(document)
    found = people.get("odd")
    assert {name: found[name] for name in document} == document


def test_whole_numbers_come_back_as_integers_however_they_were_written(http: httpx2.Client, people: Any) -> None:
    body = b'{"_key": "n", "price": 10.0, "list": [1e3, 1.50, 1.0E2], "huge": 36893488147419103232, "text": "10.0"}'
    http.post("/_api/document/people", content=body)
    found = http.get("/_api/document/people/n").text
    for part in ('"price":10,', '"list":[1000,1.5,100]', '"text":"10.0"'):
        assert part in found
    assert people.get("n")["huge"] == 2.0**65
