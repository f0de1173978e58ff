"""The credits of the stand-in for Apollo: counted on disk, before the answer, whatever becomes of it."""

from decimal import Decimal
from typing import Any

import httpx2
import pytest

from cdp_platform_tests.apollo_stub import ApolloStub, read

FOUND = [f"found{number}@shop.example" for number in range(4)]


def counter(apollo: ApolloStub, kind: str = "lead_credit") -> dict[str, Any]:
    return read(apollo.post("/api/v1/usage_stats/credit_usage_stats"))["credit_usage_stats"][kind]


def test_people_that_cost_are_charged_and_others_are_not(apollo: ApolloStub):
    answer = apollo.ask(*FOUND, "unmatched@shop.example", "nameonly@shop.example")
    assert (answer["credits_consumed"], answer["unique_enriched_records"], answer["missing_records"]) == (4, 4, 1)
    (call,) = apollo.calls()
    assert (call["asked"], call["matched"], call["credits"], call["status"]) == (6, 5, 4, 200)
    assert call["request_id"] == answer["request_id"]
    assert sorted(charge["asked"]["email"] for charge in apollo.charges()) == FOUND
    assert {charge["person_id"] for charge in apollo.charges()} == {one["id"] for one in answer["matches"][:4]}
    assert {charge["credits"] for charge in apollo.charges()} == {1}


def test_a_call_in_which_nobody_is_found_succeeds_and_costs_nothing(apollo: ApolloStub):
    answer = apollo.ask("unmatched1@shop.example", "unmatched2@shop.example")
    assert (answer["status"], answer["matches"], answer["credits_consumed"]) == ("success", [None, None], 0)
    assert apollo.credits() == 0


def test_a_person_twice_in_a_call_costs_once_and_in_two_calls_twice(apollo: ApolloStub):
    answer = apollo.ask(FOUND[0], FOUND[0])
    assert answer["credits_consumed"] == 1
    assert answer["matches"][0] == answer["matches"][1]
    apollo.ask(FOUND[0])
    assert [charge["call"] for charge in apollo.charges()] == [call["number"] for call in apollo.calls()]
    assert apollo.credits() == 2


@pytest.mark.parametrize("action", ["drop_after", "truncate"])
def test_a_call_whose_answer_is_lost_is_charged(apollo: ApolloStub, action: str):
    apollo.spoil(action)
    with pytest.raises(httpx2.TransportError):
        apollo.ask(*FOUND)
    assert apollo.fired() == [1]
    assert [(call["credits"], call["fault"]) for call in apollo.calls()] == [(4, action)]
    assert counter(apollo)["consumed"] == 4


def test_a_call_that_never_arrived_is_not_charged(apollo: ApolloStub):
    apollo.spoil("drop_before")
    with pytest.raises(httpx2.TransportError):
        apollo.ask(*FOUND)
    assert apollo.fired() == [1]
    assert apollo.calls() == []
    assert counter(apollo)["consumed"] == 0


def test_the_accounts_counter_says_what_is_on_disk(apollo: ApolloStub):
    before = counter(apollo)
    apollo.ask(*FOUND)
    after = counter(apollo)
    assert (after["consumed"] - before["consumed"], before["left_over"] - after["left_over"]) == (4, 4)
    assert after["limit"] == after["consumed"] + after["left_over"]


def test_the_counter_can_be_late(apollo: ApolloStub):
    apollo.set(counter_lag_seconds=3600)
    apollo.ask(*FOUND)
    assert counter(apollo)["consumed"] == 0
    apollo.set(counter_lag_seconds=0)
    assert counter(apollo)["consumed"] == 4


def test_credits_can_be_a_part_of_one_in_the_answer_on_disk_and_in_the_counter(apollo: ApolloStub):
    apollo.spoil("distort", how="fractional")
    assert apollo.ask(*FOUND[:3])["credits_consumed"] == Decimal("1.05")
    assert apollo.credits() == Decimal("1.05")
    assert counter(apollo)["consumed"] == Decimal("1.05")
    assert [charge["credits"] for charge in apollo.charges()] == [Decimal("0.35")] * 3


def test_a_call_that_costs_more_than_is_left_is_refused_whole(apollo: ApolloStub):
    apollo.set(credits={"lead_credit": 5, "direct_dial_credit": 0})
    apollo.ask(*FOUND)
    answer = apollo.post(body={"details": [{"email": email} for email in FOUND[:2]]})
    assert (answer.status_code, answer.json().keys()) == (422, {"error_message"})
    assert "credits" in answer.json()["error_message"]
    assert [(call["status"], call["credits"]) for call in apollo.calls()] == [(200, 4), (422, 0)]
    assert apollo.ask(FOUND[0])["credits_consumed"] == 1


def test_charges_survive_a_kill_of_the_process(new_sandbox):
    apollo = ApolloStub(new_sandbox())
    apollo.ask(*FOUND)
    (person,) = apollo.ask(FOUND[0])["matches"]
    calls, charges = apollo.calls(), apollo.charges()
    apollo.set(plan="free")
    apollo.sandbox.end(9)
    apollo.sandbox.start()
    assert (apollo.calls(), apollo.charges()) == (calls, charges)
    assert counter(apollo)["consumed"] == 5
    assert apollo.ask({"id": person["id"]})["matches"] == [person]
    assert apollo.post(body={"details": [{}]}).headers["x-rate-limit-minute"] == "20"
