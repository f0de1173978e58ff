import httpx2
import pytest
from arango import ArangoClient
from arango.exceptions import DatabaseCreateError, DatabaseDeleteError, ServerConnectionError

from cdp_platform_tests.sandbox_process import SandboxProcess


def test_a_database_is_created_listed_and_dropped(sandbox: SandboxProcess) -> None:
    system = sandbox.arango()
    assert system.create_database("shop")
    assert "shop" in system.databases()
    assert system.has_database("shop")
    with pytest.raises(DatabaseCreateError) as error:
        system.create_database("shop")
    assert (error.value.http_code, error.value.error_code) == (409, 1207)
    sandbox.arango("shop").create_collection("people").insert({"_key": "a"})
    assert system.delete_database("shop")
    assert not system.has_database("shop")
    with pytest.raises(DatabaseDeleteError) as missing:
        system.delete_database("shop")
    assert missing.value.error_code == 1228
    assert system.create_database("shop")
    assert not sandbox.arango("shop").has_collection("people")
    system.delete_database("shop")


def test_an_unknown_database_is_told_as_such(sandbox: SandboxProcess) -> None:
    with pytest.raises(ServerConnectionError) as error:
        ArangoClient(sandbox.url).db("nowhere", "root", "root-password", verify=True)
    assert (error.value.http_code, error.value.error_code) == (404, 1228)


def test_databases_are_made_and_dropped_from_the_system_database_only(http: httpx2.Client) -> None:
    for answer in (http.post("/_api/database", json={"name": "x"}), http.get("/_api/database")):
        assert (answer.status_code, answer.json()["errorNum"]) == (403, 1230)
    with_system = http.get(http.base_url.copy_with(path="/_api/database/current")).json()["result"]
    assert with_system == {"id": "1", "name": "_system", "isSystem": True, "path": "none"}


@pytest.mark.parametrize("name", ["", "1st", "_mine", "a/b", None])
def test_an_invalid_database_name_is_refused(sandbox: SandboxProcess, name: object) -> None:
    answer = sandbox.http().post("/_api/database", json={"name": name})
    assert (answer.status_code, answer.json()["errorNum"]) == (400, 1229)


def test_the_same_collection_name_in_two_databases_is_two_collections(sandbox: SandboxProcess) -> None:
    one, other = sandbox.new_database(), sandbox.new_database()
    one.create_collection("people").insert({"_key": "a"})
    assert other.create_collection("people").count() == 0
    assert one.collection("people").count() == 1
