"""Users, jobs and tasks: what there is, and that there are none."""

import httpx2
import pytest
from arango.exceptions import UserCreateError, UserGetError, UserListError

from cdp_platform_tests.sandbox_process import PASSWORD, SandboxProcess


def test_a_user_is_listed_until_it_is_deleted_and_then_gets_no_further(sandbox: SandboxProcess) -> None:
    root = sandbox.arango()
    name = sandbox.new_database(users=[{"username": "ada", "password": "x", "extra": {"team": 1}}]).name
    assert {"username": "ada", "active": True, "extra": {"team": 1}} in root.users()
    assert root.user("root") == {"username": "root", "active": True, "extra": {}}
    assert sandbox.arango(name, user="ada", password="x").collections()
    with pytest.raises(UserListError) as refused:
        sandbox.arango(name, user="ada", password="x").users()
    assert refused.value.http_code == 403
    assert root.delete_user("ada")
    with sandbox.http(user="ada", password="x") as http:
        assert http.get(f"/_db/{name}/_api/collection").status_code == 401
    with pytest.raises(UserGetError) as error:
        root.user("ada")
    assert error.value.error_code == 1703


def test_a_user_of_no_database_can_be_made_once_and_uses_none(sandbox: SandboxProcess) -> None:
    root = sandbox.arango()
    assert root.create_user("eve", "x", active=True, extra={"a": 1})["extra"] == {"a": 1}
    with pytest.raises(UserCreateError) as error:
        root.create_user("eve", "y")
    assert error.value.error_code == 1702
    with sandbox.http(user="eve", password="x") as http:
        assert http.get("/_api/collection").status_code == 401
    assert root.delete_user("eve")


def test_there_are_no_jobs_and_no_tasks(sandbox: SandboxProcess, http: httpx2.Client) -> None:
    root = sandbox.arango()
    assert (root.tasks(), root.async_jobs("done"), root.async_jobs("pending")) == ([], [], [])
    assert root.clear_async_jobs()
    for path, expected in (("/_api/tasks/5", (404, 1852)), ("/_api/job/5", (404, 404))):
        answer = http.get(path)
        assert (answer.status_code, answer.json()["errorNum"]) == expected


def test_a_token_is_given_at_the_address_of_any_database(http: httpx2.Client) -> None:
    given = http.post("/_open/auth", json={"username": "root", "password": PASSWORD})
    assert http.get("/_api/version", headers={"authorization": f"bearer {given.json()['jwt']}"}).status_code == 200
    assert http.post("/_open/auth", json={"username": "root", "password": "no"}).status_code == 401


def test_a_server_without_certificates_has_none_to_tell_of(sandbox: SandboxProcess) -> None:
    assert (sandbox.arango().tls(), sandbox.arango().reload_tls()) == ({}, {})
