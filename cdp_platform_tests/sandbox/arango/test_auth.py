import time
from typing import Any

import httpx2
import jwt
import pytest
from arango import ArangoClient
from arango.exceptions import CollectionListError, JWTAuthError, ServerConnectionError

from cdp_platform_tests.sandbox_process import PASSWORD, TOKEN_SECRET, Database, SandboxProcess


def _get(sandbox: SandboxProcess, **options: Any) -> httpx2.Response:
    return httpx2.get(f"{sandbox.url}/_api/version", **options)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic !!!"},
        {"authorization": "Basic //79"},
        {"authorization": "Bearer nonsense"},
        {"authorization": "Digest x"},
    ],
)
def test_a_request_without_good_credentials_is_not_authorized(sandbox: SandboxProcess, headers: dict[str, str]) -> None:
    answer = _get(sandbox, headers=headers)
    assert (answer.status_code, answer.json()["errorNum"]) == (401, 11)
    assert answer.headers["www-authenticate"].startswith("Basic")


def test_a_wrong_password_is_not_authorized(sandbox: SandboxProcess) -> None:
    assert _get(sandbox, auth=("root", "wrong")).status_code == 401
    assert _get(sandbox, auth=("nobody", PASSWORD)).status_code == 401
    with pytest.raises(ServerConnectionError):
        ArangoClient(sandbox.url).db("_system", "root", "wrong", verify=True)
    with pytest.raises(JWTAuthError) as error:
        ArangoClient(sandbox.url).db("_system", "root", "wrong", auth_method="jwt")
    assert error.value.http_code == 401


def test_a_token_opens_what_the_password_opens_for_an_hour(sandbox: SandboxProcess) -> None:
    answer = httpx2.post(f"{sandbox.url}/_open/auth", json={"username": "root", "password": PASSWORD})
    claims = jwt.decode(answer.json()["jwt"], TOKEN_SECRET, algorithms=["HS256"])
    assert claims["iss"] == "arangodb"
    assert claims["preferred_username"] == "root"
    assert claims["exp"] - claims["iat"] == 3600
    database = ArangoClient(sandbox.url).db("_system", "root", PASSWORD, auth_method="jwt", verify=True)
    assert database.version() == "3.11.14"


@pytest.mark.parametrize("spoiled", [{"exp": 1}, {"iss": "someone"}, {"iss": None}])
def test_an_expired_or_foreign_token_is_refused_with_the_number_that_makes_clients_ask_again(
    sandbox: SandboxProcess, spoiled: dict[str, Any]
) -> None:
    now = int(time.time())
    claims = {"preferred_username": "root", "iss": "arangodb", "iat": now, "exp": now + 60} | spoiled
    given = {name: value for name, value in claims.items() if value is not None}
    token = jwt.encode(given, TOKEN_SECRET, algorithm="HS256")
    answer = _get(sandbox, headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["errorNum"]) == (401, 11)


def test_a_client_with_an_expired_token_asks_for_another_and_goes_on(sandbox: SandboxProcess) -> None:
    database: Database = ArangoClient(sandbox.url).db("_system", "root", PASSWORD, auth_method="jwt")
    expired = jwt.encode({"iss": "arangodb", "iat": 1, "exp": 2}, TOKEN_SECRET, algorithm="HS256")
    database.conn._auth_header = f"bearer {expired}"
    assert database.version() == "3.11.14"
    assert expired not in str(database.conn._auth_header)


def test_a_token_that_is_signed_with_the_secret_of_the_server_may_do_everything(sandbox: SandboxProcess) -> None:
    now = int(time.time())
    token = jwt.encode({"iss": "arangodb", "server_id": "x", "iat": now, "exp": now + 60}, TOKEN_SECRET, "HS256")
    database: Database = ArangoClient(sandbox.url).db("_system", superuser_token=token, verify=True)
    assert "_system" in database.databases()


@pytest.mark.parametrize("body", [b"", b"[]", b'{"username": "root"}', b'{"username": 1, "password": 2}'])
def test_a_session_needs_a_name_and_a_password(sandbox: SandboxProcess, body: bytes) -> None:
    assert httpx2.post(f"{sandbox.url}/_open/auth", content=body).status_code == 400


def test_a_user_made_with_a_database_sees_this_database_and_no_other(sandbox: SandboxProcess) -> None:
    users = [{"username": "shopkeeper", "password": "pass", "active": True}]
    own = sandbox.new_database(users=users).name
    other = sandbox.new_database(users=[{"username": "asleep", "password": "pass", "active": False}]).name
    database = sandbox.arango(own, user="shopkeeper", password="pass")
    database.create_collection("people").insert({})
    assert sandbox.http(user="shopkeeper", password="pass").get(f"/_db/{own}/_api/database/user").json()["result"] == [
        own
    ]
    for name in (other, "nowhere", "_system"):
        with pytest.raises(CollectionListError) as error:
            sandbox.arango(name, user="shopkeeper", password="pass").collections()
        assert (error.value.http_code, error.value.error_code) == (401, 11)
    assert sandbox.http(user="asleep", password="pass").get(f"/_db/{other}/_api/version").status_code == 401
