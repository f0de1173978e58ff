"""Who may do what, and how often: accounts, tokens, sharing and quotas."""

import stat
import time
from pathlib import Path
from typing import Any

import gspread
import httpx2
import jwt
import orjson
import pytest
from google.auth.exceptions import RefreshError

from cdp_platform_tests.sandbox.sheets.conftest import READS, WRITES, Google, google_of, refused
from cdp_platform_tests.sandbox_process import SandboxProcess
from cdp_sandbox.sheets import KEY_FILE, PATH

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def ask_token(google: Google, **claims: Any) -> httpx2.Response:
    now = int(time.time())
    said = {
        "iss": google.email,
        "scope": WRITES,
        "aud": google.key["token_uri"],
        "iat": now,
        "exp": now + 3600,
    } | claims
    assertion = jwt.encode(said, google.key["private_key"], "RS256")
    return httpx2.post(google.key["token_uri"], data={"grant_type": GRANT, "assertion": assertion})


def read(google: Google, identity: str, token: str) -> httpx2.Response:
    return httpx2.get(
        f"{google.base}/v4/spreadsheets/{identity}/values/A1", headers={"authorization": f"Bearer {token}"}
    )


def error(answer: httpx2.Response) -> dict[str, Any]:
    return answer.json()["error"]


def test_the_first_key_is_written_for_its_owner_alone_and_works(sandbox: SandboxProcess) -> None:
    file = Path(sandbox.state_dir) / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = orjson.loads(file.read_bytes())
    assert key["type"] == "service_account"
    assert key["token_uri"] == f"{sandbox.url}{PATH}/token"
    google = Google(sandbox, key)
    assert google.client().open_by_key(google.new()).title == "Test"


def test_an_account_of_a_name_is_made_once(google: Google) -> None:
    name = google.email.partition("@")[0]
    assert google.control("POST", "_accounts", {"name": name}) == google.key
    assert httpx2.post(f"{google.base}/_accounts", json={"name": "No Name"}).status_code == 400


def test_a_token_is_googles(google: Google) -> None:
    answer = ask_token(google).raise_for_status().json()
    assert answer.keys() == {"access_token", "expires_in", "token_type"}
    assert 3590 < answer["expires_in"] <= 3600


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"iss": "nobody@example.com"}, "account not found"),
        ({"aud": "https://example.com"}, "audience"),
        ({"exp": 1}, "short-lived"),
        ({"exp": int(time.time()) + 86_400}, "short-lived"),
        ({"scope": ""}, "scope"),
    ],
)
def test_a_wrong_assertion_gets_no_token(google: Google, claims: dict[str, Any], says: str) -> None:
    answer = ask_token(google, **claims)
    assert answer.status_code == 400
    assert answer.json().keys() == {"error", "error_description"}
    assert says in answer.json()["error_description"]


def test_a_signature_of_another_key_gets_no_token(google: Google) -> None:
    other = google_of(google.sandbox)
    forged = Google(google.sandbox, google.key | {"private_key": other.key["private_key"]})
    with pytest.raises(RefreshError, match="Invalid JWT Signature"):
        forged.token()


def test_without_a_token_that_lives_nothing_is_answered(google: Google) -> None:
    identity = google.new()
    missing = httpx2.get(f"{google.base}/v4/spreadsheets/{identity}")
    wrong = read(google, identity, "ya29.made-up")
    short = ask_token(google, exp=int(time.time()) + 1).json()["access_token"]
    deadline = time.monotonic() + 60
    while (ended := read(google, identity, short)).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    for answer, reason in (
        (missing, "CREDENTIALS_MISSING"),
        (wrong, "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        (ended, "ACCESS_TOKEN_EXPIRED"),
    ):
        assert (answer.status_code, error(answer)["status"]) == (401, "UNAUTHENTICATED")
        assert error(answer)["details"][0]["reason"] == reason


def test_a_token_to_read_does_not_write(google: Google) -> None:
    identity = google.new()
    sheet = google.client(READS).open_by_key(identity).sheet1
    with refused(403, "insufficient authentication scopes") as errors:
        sheet.update([["a"]], "A1")
    assert errors[0]["details"][0]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
    assert sheet.get_all_values() == [[]]


def test_a_spreadsheet_is_there_for_those_it_is_shared_with(google: Google) -> None:
    other = google_of(google.sandbox)
    identity = other.new()
    client = google.client()
    with pytest.raises(PermissionError) as caught:
        client.open_by_key(identity)
    assert "The caller does not have permission" in str(caught.value.__cause__)
    with pytest.raises(gspread.SpreadsheetNotFound) as absent:
        client.open_by_key("no-such-spreadsheet")
    assert "Requested entity was not found." in str(absent.value.__cause__)
    for shared in ("everybody", [other.email, google.email]):
        google.control("PUT", f"_spreadsheets/{identity}", {"title": "Ours", "shared_with": shared})
        client.open_by_key(identity).sheet1.update([["kept"]], "A1")
    assert google.control("PUT", f"_spreadsheets/{identity}", {"shared_with": [other.email]})["title"] == "Ours"
    with pytest.raises(PermissionError):
        client.open_by_key(identity)
    assert other.client().open_by_key(identity).sheet1.acell("A1").value == "kept"
    google.control("DELETE", f"_spreadsheets/{identity}")
    with pytest.raises(gspread.SpreadsheetNotFound):
        other.client().open_by_key(identity)


def test_reads_and_writes_are_counted_apart_and_by_account(google: Google) -> None:
    identity = google.new(shared_with="everybody")
    token = ask_token(google).json()["access_token"]
    with httpx2.Client(headers={"authorization": f"Bearer {token}"}, base_url=f"{google.base}/v4/spreadsheets") as http:

        def write(value: int) -> httpx2.Response:
            where = f"/{identity}/values/A1?valueInputOption=RAW"
            return http.put(where, json={"values": [[value]]})

        assert [write(number).status_code for number in range(61)] == [200] * 60 + [429]
        refusal = error(write(62))
        assert (refusal["code"], refusal["status"]) == (429, "RESOURCE_EXHAUSTED")
        assert refusal["message"].startswith(
            "Quota exceeded for quota metric 'Write requests' and limit 'Write requests per minute per user' "
            "of service 'sheets.googleapis.com'"
        )
        (info,) = refusal["details"]
        assert (info["reason"], info["domain"]) == ("RATE_LIMIT_EXCEEDED", "googleapis.com")
        assert info["metadata"]["quota_limit"] == "WriteRequestsPerMinutePerUser"
        assert info["metadata"]["quota_limit_value"] == "60"
        answers = [http.get(f"/{identity}/values/A1") for _ in range(61)]
        assert [one.status_code for one in answers] == [200] * 60 + [429]
        assert answers[0].json()["values"] == [["59"]]
        assert "'Read requests per minute per user'" in error(answers[-1])["message"]
    google_of(google.sandbox).client().open_by_key(identity).sheet1.update([["another account"]], "A1")


def test_quotas_can_be_set_and_lifted(google: Google, unlimited: None) -> None:
    assert google.control("GET", "_quota") == {"writes": None, "reads": None}
    for wrong in ({"writes": -1}, {"writes": "1"}, {"calls": 1}, [1]):
        assert httpx2.put(f"{google.base}/_quota", json=wrong).status_code == 400
    sheet = google.client().open_by_key(google.new()).sheet1
    for number in range(61):
        sheet.update([[number]], "A1")


def test_faults_are_made_on_demand_and_requests_are_noted(google: Google) -> None:
    identity = google.new()
    book = google.client().open_by_key(identity)
    path = f"^{PATH}/v4/spreadsheets/{identity}:batchUpdate$"
    google.sandbox.spoil(
        {"match": {"path_regex": path}, "action": "status", "status": 503, "body": {"error": {"code": 503}}},
        {"match": {"path_regex": path}, "action": "drop_after"},
    )
    with pytest.raises(gspread.exceptions.APIError):
        book.add_worksheet("refused", 1, 1)
    with pytest.raises(OSError, match=r"Connection|Remote"):
        book.add_worksheet("done all the same", 1, 1)
    assert google.sandbox.fired() == [1, 1]
    assert [one.title for one in book.worksheets()] == ["Sheet1", "done all the same"]
    noted = httpx2.get(f"{google.sandbox.url}/_sandbox/requests").json()
    assert [one["method"] for one in noted if one["path"].endswith(f"{identity}:batchUpdate")] == ["POST", "POST"]


def test_addresses_that_google_does_not_have_are_refused(google: Google) -> None:
    token = ask_token(google).json()["access_token"]
    identity = google.new()
    for method, path, code in (
        ("GET", "whatever", 404),
        ("GET", f"spreadsheets/{identity}:batchUpdate", 404),
        ("DELETE", f"spreadsheets/{identity}", 404),
        ("POST", f"spreadsheets/{identity}:getByDataFilter", 501),
        ("PUT", f"spreadsheets/{identity}/values/", 404),
    ):
        answer = httpx2.request(
            method, f"{google.base}/v4/{path}", headers={"authorization": f"Bearer {token}"}, timeout=30
        )
        assert (answer.status_code, error(answer)["code"]) == (code, code), path
    broken = httpx2.post(
        f"{google.base}/v4/spreadsheets/{identity}:batchUpdate",
        content=b"{",
        headers={"authorization": f"Bearer {token}"},
    )
    assert error(broken)["message"].startswith("Invalid JSON payload received.")
