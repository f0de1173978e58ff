import httpx2
import pytest
from arango.exceptions import CollectionCreateError, CollectionDeleteError

from cdp_platform_tests.sandbox_process import Database


def test_collections_are_listed_with_those_of_the_system(db: Database, http: httpx2.Client) -> None:
    db.create_collection("people")
    db.create_collection("links", edge=True)
    listed = {one["name"]: one for one in http.get("/_api/collection").json()["result"]}
    assert listed["links"]["type"] == 3
    assert listed["_graphs"]["isSystem"] is True
    without = http.get("/_api/collection?excludeSystem=true").json()["result"]
    assert [one["name"] for one in without] == ["people", "links"]


def test_a_collection_is_found_by_name_and_by_number(db: Database, http: httpx2.Client) -> None:
    created = http.post("/_api/collection", json={"name": "people", "waitForSync": True}).json()
    for name in ("people", created["id"]):
        properties = http.get(f"/_api/collection/{name}/properties")
        assert properties.json() == {**created, "code": 200}
        assert properties.headers["location"] == f"/_db/{db.name}/_api/collection/{name}/properties"


@pytest.mark.parametrize("name", ["", "1st", "_mine", "a/b", " a", "a:b", "x" * 129, None, 7])
def test_an_illegal_name_is_refused(http: httpx2.Client, name: object) -> None:
    answer = http.post("/_api/collection", json={"name": name})
    assert (answer.status_code, answer.json()["errorNum"]) == (400, 1208)


def test_a_taken_name_is_refused(db: Database) -> None:
    db.create_collection("people")
    with pytest.raises(CollectionCreateError) as error:
        db.create_collection("people")
    assert (error.value.http_code, error.value.error_code) == (409, 1207)


def test_count_revision_and_checksum_follow_the_documents(db: Database, http: httpx2.Client) -> None:
    people = db.create_collection("people")
    other = db.create_collection("other")
    assert (people.count(), people.checksum(with_data=True)) == (0, "0")
    revisions = {people.revision()}
    people.insert({"_key": "a", "n": 1})
    revisions.add(people.revision())
    people.delete("a")
    revisions.add(people.revision())
    assert len(revisions) == 3
    assert people.revision() == people.revision()
    people.insert_many([{"_key": "a"}, {"_key": "b"}])
    other.insert_many([{"_key": "b"}, {"_key": "a"}])
    assert people.checksum(with_data=True) == other.checksum(with_data=True)
    # python-arango asks for `withRevision`, which no server knows.
    with_revisions = "/_api/collection/{}/checksum?withRevisions=true"
    sums = {http.get(with_revisions.format(name)).json()["checksum"] for name in ("people", "other")}
    assert len(sums) == 2
    other.update({"_key": "a", "n": 2})
    assert people.checksum() == other.checksum()
    assert people.checksum(with_data=True) != other.checksum(with_data=True)


def test_a_truncated_collection_is_empty_and_keeps_its_properties(db: Database) -> None:
    people = db.create_collection("people", sync=True)
    people.insert_many([{}, {}])
    assert people.truncate()
    assert people.count() == 0
    assert people.properties()["sync"] is True


def test_a_renamed_collection_has_its_documents_under_the_new_name(db: Database, http: httpx2.Client) -> None:
    people = db.create_collection("people")
    revision = people.insert({"_key": "a"})["_rev"]
    assert people.rename("customers")
    assert db.collection("customers").get("a") == {"_key": "a", "_id": "customers/a", "_rev": revision}
    assert not db.has_collection("people")
    db.create_collection("other")
    answer = http.put("/_api/collection/other/rename", json={"name": "customers"})
    assert (answer.status_code, answer.json()["errorNum"]) == (409, 1207)


def test_a_dropped_collection_is_gone_and_its_name_is_free(db: Database) -> None:
    db.create_collection("people").insert({"_key": "a"})
    assert db.delete_collection("people")
    with pytest.raises(CollectionDeleteError) as error:
        db.delete_collection("people")
    assert error.value.error_code == 1203
    assert db.create_collection("people").count() == 0


def test_a_system_collection_is_dropped_only_on_purpose(http: httpx2.Client) -> None:
    http.post("/_api/collection", json={"name": "_mine", "isSystem": True})
    refused = http.delete("/_api/collection/_mine")
    assert (refused.status_code, refused.json()["errorNum"]) == (403, 11)
    assert http.delete("/_api/collection/_mine?isSystem=true").status_code == 200


def test_properties_that_can_change_do(db: Database, http: httpx2.Client) -> None:
    people = db.create_collection("people")
    assert people.configure(sync=True)["sync"] is True
    assert people.recalculate_count()
    assert people.compact() == people.info()
    people.insert({})
    assert people.statistics()["documents_size"] > 0
    for action in ("load", "unload", "loadIndexesIntoMemory"):
        assert http.put(f"/_api/collection/people/{action}").status_code == 200


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"key_generator": "autoincrement", "key_increment": 5}, ["5", "10", "15"]),
        ({"key_generator": "autoincrement", "key_offset": 100, "key_increment": 9}, ["100", "109", "118"]),
    ],
)
def test_autoincremented_keys_have_their_distance(db: Database, options: dict, keys: list[str]) -> None:
    people = db.create_collection("people", **options)
    assert [people.insert({})["_key"] for _ in keys] == keys


def test_padded_keys_ascend_as_text_and_uuids_are_uuids(db: Database) -> None:
    padded = db.create_collection("padded", key_generator="padded")
    keys = [padded.insert({})["_key"] for _ in range(20)]
    assert keys == sorted(keys)
    assert {len(key) for key in keys} == {16}
    uuids = db.create_collection("uuids", key_generator="uuid", user_keys=False)
    assert len(uuids.insert({})["_key"]) == 36


def test_a_collection_that_makes_all_keys_refuses_others(db: Database, http: httpx2.Client) -> None:
    db.create_collection("own", user_keys=False)
    answer = http.post("/_api/document/own", json={"_key": "a"})
    assert (answer.status_code, answer.json()["errorNum"]) == (400, 1222)
