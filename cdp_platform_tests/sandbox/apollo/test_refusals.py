"""Refusals of the stand-in for Apollo, its limits, and answers that are spoiled on demand."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import httpx2
import orjson
import pytest

from cdp_platform_tests.apollo_stub import BULK_MATCH, ApolloStub, read
from cdp_sandbox.apollo import PEOPLE_KEY, limits
from cdp_sandbox.apollo.app import DISTORTIONS

FOUND = [{"email": f"found{number}@shop.example"} for number in range(4)]
STATS = "/api/v1/usage_stats/api_usage_stats"
CREDITS = "/api/v1/usage_stats/credit_usage_stats"


def limits_in(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if "requests-left" in name or "rate-limit" in name}


def test_health_tells_whether_the_key_is_known(apollo: ApolloStub):
    url = f"{apollo.base_url}/api/v1/auth/health"
    assert httpx2.get(url, headers={"x-api-key": "sandbox"}).json() == {"healthy": True, "is_logged_in": True}
    assert httpx2.get(url, headers={"x-api-key": "other"}).json() == {"healthy": True, "is_logged_in": False}


@pytest.mark.parametrize("key", ["", "other"])
def test_a_bad_key_is_refused_with_a_plain_text_and_tells_no_limits(apollo: ApolloStub, key: str):
    answer = apollo.post(body={"details": FOUND}, key=key)
    assert (answer.status_code, answer.text) == (401, "Invalid access credentials.")
    assert answer.headers["content-type"].startswith("text/plain")
    assert limits_in(answer) == {}
    assert [(call["status"], call["credits"]) for call in apollo.calls()] == [(401, 0)]


def test_a_key_without_permission_is_refused_and_tells_no_limits(apollo: ApolloStub):
    assert apollo.post(body={"details": FOUND}, key=PEOPLE_KEY).status_code == 200
    for path in (STATS, CREDITS):
        answer = apollo.post(path, key=PEOPLE_KEY)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "API_INACCESSIBLE")
        assert limits_in(answer) == {}
    apollo.set(keys={"sandbox": []})
    assert apollo.post(body={"details": FOUND}).json()["error_code"] == "API_INACCESSIBLE"
    assert apollo.credits() == 4


def test_more_than_ten_people_are_refused(apollo: ApolloStub):
    answer = apollo.post(body={"details": [{"email": f"found{number}@shop.example"} for number in range(11)]})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "RECORD_LIMIT_EXCEEDED")
    assert apollo.credits() == 0


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"details": []}', b'{"details": ["x"]}', b'{"details": {}}'])
def test_a_request_that_is_none_is_refused(apollo: ApolloStub, content: bytes):
    answer = apollo.post(content=content)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_REQUEST")


def test_an_option_that_is_neither_true_nor_false_is_refused(apollo: ApolloStub):
    answer = apollo.post(body={"details": FOUND}, reveal_personal_emails="perhaps")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_REQUEST")


def test_a_key_in_the_body_is_refused(apollo: ApolloStub):
    answer = apollo.post(body={"details": FOUND, "api_key": "sandbox"})
    assert (answer.status_code, answer.json().keys()) == (422, {"error"})


def test_one_poisonous_contact_makes_the_whole_batch_fail_and_nobody_is_charged(apollo: ApolloStub):
    answer = apollo.post(body={"details": [*FOUND, {"email": "poison@shop.example"}]})
    assert (answer.status_code, answer.json().keys()) == (422, {"errors"})
    assert apollo.credits() == 0
    (call,) = apollo.calls()
    assert (call["asked"], call["error"]) == (5, "poison")


def test_with_waterfall_the_counts_are_absent_and_the_charges_are_not(apollo: ApolloStub):
    answer = apollo.ask(*FOUND, run_waterfall_email="true")
    assert answer.keys() == {"status", "error_code", "error_message", "request_id", "matches"}
    assert apollo.credits() == 4


# Limits


def test_an_answer_tells_the_limits_and_what_is_left_of_them(apollo: ApolloStub):
    apollo.set(plan="free")
    first, second = (apollo.post(body={"details": FOUND}) for _ in range(2))
    assert limits_in(first) == {
        "x-rate-limit-minute": "20",
        "x-minute-requests-left": "19",
        "x-rate-limit-hourly": "100",
        "x-hourly-requests-left": "99",
        "x-rate-limit-24-hour": "600",
        "x-24-hour-requests-left": "599",
    }
    assert second.headers["x-minute-requests-left"] == "18"
    assert apollo.post(body={}).headers["x-minute-requests-left"] == "17"


def test_a_full_window_refuses_says_how_long_and_charges_nothing(apollo: ApolloStub):
    apollo.set(plan="free")
    answers = [apollo.post(body={"details": FOUND[:1]}) for _ in range(22)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429] * 2
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert answers[-1].headers["x-minute-requests-left"] == "0"
    assert apollo.credits() == 20
    assert read(apollo.post(STATS))['["api/v1/people", "bulk_match"]']["hour"]["consumed"] == 20


def test_the_hour_is_full_before_the_day_and_after_the_minute(apollo: ApolloStub):
    apollo.set(limits={"people/bulk_match": {"minute": None, "hour": 3, "day": 5}})
    answers = [apollo.post(body={"details": [{}]}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 3500 < int(answers[-1].headers["retry-after"]) <= 3600
    assert "x-minute-requests-left" not in answers[-1].headers


def test_each_endpoint_has_windows_of_its_own_and_all_keys_share_them(apollo: ApolloStub):
    apollo.set(limits={"people/bulk_match": {"minute": 1}})
    assert apollo.post(body={"details": FOUND}).status_code == 200
    assert apollo.post(body={"details": FOUND}, key=PEOPLE_KEY).status_code == 429
    assert apollo.post("/api/v1/people/match", FOUND[0]).status_code == 200


def test_a_window_opens_with_its_first_request_and_closes_by_itself(monkeypatch: pytest.MonkeyPatch):
    now = [1000.0]
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: now[0]))
    windows, allowed = limits.Windows(), {"minute": 2}
    now[0] += 59
    assert windows.take("e", allowed) is None
    now[0] += 50
    assert windows.take("e", allowed) is None
    assert windows.take("e", allowed) == ("minute", 2, 10)
    now[0] += 10
    assert windows.take("e", allowed) is None
    assert windows.stats("e", allowed) == {"minute": {"limit": 2, "consumed": 1, "left_over": 1}}


def test_usage_is_told_by_endpoint_and_window(apollo: ApolloStub):
    apollo.ask(*FOUND)
    stats = read(apollo.post(STATS))
    assert stats['["api/v1/people", "bulk_match"]']["minute"] == {"limit": 1000, "consumed": 1, "left_over": 999}
    assert stats['["api/v1/people", "bulk_match"]'].keys() == {"minute", "hour", "day"}
    assert all(isinstance(orjson.loads(name), list) for name in stats)


# Spoiled answers


def test_a_limit_on_demand_comes_with_and_without_a_time_to_wait(apollo: ApolloStub):
    apollo.spoil("status", status=429, retry_after=7)
    apollo.spoil("status", status=429)
    answers = [apollo.post(body={"details": FOUND}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [429, 429]
    assert [answer.headers.get("retry-after") for answer in answers] == ["7", None]
    assert apollo.fired() == [1, 1]
    assert apollo.calls() == []


def spoiled(apollo: ApolloStub, how: str) -> tuple[dict[str, Any], list[Any]]:
    """A spoiled answer, and the people that an honest one has."""
    honest = apollo.ask(*FOUND, {"email": "unmatched@shop.example"})["matches"]
    apollo.spoil("distort", how=how)
    answer = apollo.ask(*FOUND, {"email": "unmatched@shop.example"})
    assert apollo.fired() == [1]
    assert [call["fault"] for call in apollo.calls()] == ["", how]
    assert apollo.credits() == 8
    return answer, honest


def test_people_come_in_another_order(apollo: ApolloStub):
    answer, honest = spoiled(apollo, "wrong_order")
    assert answer["matches"] == honest[::-1]


def test_people_come_without_the_last(apollo: ApolloStub):
    answer, honest = spoiled(apollo, "short")
    assert answer["matches"] == honest[:-1]
    assert answer["total_requested_enrichments"] == 5


def test_two_people_come_in_each_others_place(apollo: ApolloStub):
    answer, honest = spoiled(apollo, "swapped_people")
    assert answer["matches"] == [honest[1], honest[0], *honest[2:]]


def test_counts_are_left_out(apollo: ApolloStub):
    answer, honest = spoiled(apollo, "no_counts")
    assert answer.keys() == {"status", "error_code", "error_message", "request_id", "matches"}
    assert answer["matches"] == honest


@pytest.mark.parametrize("status", [None, 502])
def test_html_comes_in_place_of_json_after_the_charge(apollo: ApolloStub, status: int | None):
    apollo.spoil("distort", how="html", status=status)
    answer = apollo.post(body={"details": FOUND})
    assert (answer.status_code, answer.headers["content-type"]) == (status or 200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!doctype html>")
    assert apollo.credits() == 4


def test_every_distortion_holds_for_a_single_unknown_person(apollo: ApolloStub):
    for how in sorted(DISTORTIONS):
        apollo.spoil("distort", how=how)
        assert apollo.post(body={"details": [{}]}).status_code == 200
    assert apollo.fired() == [1] * len(DISTORTIONS)


def test_requests_take_as_long_as_they_are_told_to(apollo: ApolloStub):
    apollo.set(latency_seconds=0.3)
    assert apollo.post(body={"details": FOUND}).elapsed.total_seconds() >= 0.3


@pytest.mark.parametrize(
    "settings", [{"plan": "gold"}, {"planet": "paid"}, {"credits": 5}, {"latency_seconds": "long"}, []]
)
def test_a_setting_that_is_none_is_refused_and_changes_nothing(apollo: ApolloStub, settings: Any):
    url = f"{apollo.base_url}/_settings"
    before = httpx2.get(url).json()
    assert httpx2.put(url, json=settings).status_code == 400
    assert httpx2.get(url).json() == before


def test_a_rule_can_choose_calls_by_who_is_asked_for(apollo: ApolloStub):
    apollo.spoil("distort", how="fractional", contains="found3@")
    assert apollo.ask(*FOUND[:2])["credits_consumed"] == 2
    assert apollo.ask(*FOUND)["credits_consumed"] == Decimal("1.4")
    assert httpx2.get(f"{apollo.sandbox.url}/_sandbox/requests").json()[-1]["path"] == f"/apollo{BULK_MATCH}"
