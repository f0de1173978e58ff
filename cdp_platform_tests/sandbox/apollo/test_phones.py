"""Phone numbers of the stand-in for Apollo: charged when they are asked for, and posted to a webhook later."""

import time
from typing import Any

import httpx2
import orjson
import pytest

from cdp_platform_tests.apollo_stub import ApolloStub, read
from cdp_platform_tests.sandbox.conftest import WebApp
from cdp_sandbox.apollo import PEOPLE_KEY

MOBILE, OTHER, WITHOUT = (f"{name}@shop.example" for name in ("mobile1", "mobile2", "nomobile"))


@pytest.fixture
def quick(apollo: ApolloStub) -> ApolloStub:
    """An account that delivers at once."""
    apollo.set(delivery_seconds=0)
    return apollo


def ask(apollo: ApolloStub, web_app: WebApp, *addresses: str) -> dict[str, Any]:
    return apollo.ask(*addresses, reveal_phone_number="true", webhook_url=f"{web_app.url}/phones/acme")


def test_the_answer_has_no_phone_number_and_the_webhook_gets_them(quick: ApolloStub, web_app: WebApp):
    answer = ask(quick, web_app, MOBILE, WITHOUT, "unmatched@shop.example")
    with_phone, without, nobody = answer["matches"]
    assert nobody is None
    assert [person["phone_enrichment"] for person in (with_phone, without)] == [{"status": "pending"}] * 2
    assert "phone_numbers" not in with_phone
    path, headers, body = web_app.wait()
    assert (path, headers["content-type"]) == ("/phones/acme", "application/json")
    delivered = orjson.loads(body)
    people = {person.pop("id"): person for person in delivered.pop("people")}
    assert delivered == {
        "status": "success",
        "total_requested_enrichments": 2,
        "unique_enriched_records": 1,
        "missing_records": 1,
        "credits_consumed": 8,
        "request_id": answer["request_id"],
    }
    assert people[without["id"]] == {"status": "success", "phone_numbers": []}
    (number,) = people[with_phone["id"]]["phone_numbers"]
    assert number.keys() == {"raw_number", "sanitized_number", "type_cd", "status_cd", "confidence_cd", "dnc_status_cd"}
    assert number["sanitized_number"].startswith("+")


def test_a_mobile_phone_costs_eight_credits_more_when_it_is_asked_for(apollo: ApolloStub, web_app: WebApp):
    apollo.set(deliveries=0)
    answer = ask(apollo, web_app, MOBILE, WITHOUT)
    assert (answer["credits_consumed"], answer["unique_enriched_records"]) == (2, 2)
    (call,) = apollo.calls()
    assert (call["credits"], call["lead_credit"], call["direct_dial_credit"]) == (10, 2, 8)
    stats = read(apollo.post("/api/v1/usage_stats/credit_usage_stats"))["credit_usage_stats"]
    assert (stats["lead_credit"]["consumed"], stats["direct_dial_credit"]["consumed"]) == (2, 8)
    by_address = {charge["asked"]["email"]: charge["credits"] for charge in apollo.charges()}
    assert by_address == {MOBILE: 9, WITHOUT: 1}


def test_phones_that_cost_more_than_is_left_are_refused_whole(apollo: ApolloStub, web_app: WebApp):
    apollo.set(credits={"lead_credit": 10, "direct_dial_credit": 15})
    query: dict[str, Any] = {"reveal_phone_number": "true", "webhook_url": web_app.url}
    answer = apollo.post(body={"details": [{"email": MOBILE}, {"email": OTHER}]}, **query)
    assert (answer.status_code, apollo.credits(), apollo.deliveries()) == (422, 0, [])


@pytest.mark.parametrize("webhook", [{}, {"webhook_url": ""}, {"webhook_url": "phones"}])
def test_phones_need_a_webhook(apollo: ApolloStub, webhook: dict[str, Any]):
    answer = apollo.post(body={"details": [{"email": MOBILE}]}, reveal_phone_number="true", **webhook)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_REQUEST")
    assert apollo.credits() == 0


def test_a_webhook_alone_asks_for_no_phones(quick: ApolloStub, web_app: WebApp):
    answer = quick.ask(MOBILE, webhook_url=web_app.url)
    assert "phone_enrichment" not in answer["matches"][0]
    assert (quick.credits(), quick.deliveries()) == (1, [])


def test_a_person_whose_phone_is_on_its_way_to_the_same_key_is_skipped(apollo: ApolloStub, web_app: WebApp):
    apollo.set(delivery_seconds=3600)
    ask(apollo, web_app, MOBILE)
    answer = ask(apollo, web_app, MOBILE, OTHER)
    assert [person["phone_enrichment"]["status"] for person in answer["matches"]] == ["skipped", "pending"]
    assert [call["direct_dial_credit"] for call in apollo.calls()] == [8, 8]
    bodies = [delivery["body"] for delivery in apollo.deliveries()]
    assert [[person["id"] for person in body["people"]] for body in bodies] == [
        [answer["matches"][0]["id"]],
        [answer["matches"][1]["id"]],
    ]
    query: dict[str, Any] = {"reveal_phone_number": "true", "webhook_url": web_app.url}
    other_key = apollo.post(body={"details": [{"email": MOBILE}]}, key=PEOPLE_KEY, **query)
    assert other_key.json()["matches"][0]["phone_enrichment"]["status"] == "pending"


def test_a_person_whose_phone_was_delivered_is_asked_and_paid_for_again(quick: ApolloStub, web_app: WebApp):
    for _ in range(2):
        assert ask(quick, web_app, MOBILE)["matches"][0]["phone_enrichment"]["status"] == "pending"
    web_app.wait(2)
    assert quick.credits() == 18


def test_a_delivery_can_come_twice(quick: ApolloStub, web_app: WebApp):
    quick.set(deliveries=2)
    ask(quick, web_app, MOBILE)
    web_app.wait(2)
    assert web_app.posted[0][2] == web_app.posted[1][2]


def test_a_delivery_can_come_never_and_then_when_a_test_says_so(quick: ApolloStub, web_app: WebApp):
    quick.set(deliveries=0)
    ask(quick, web_app, MOBILE)
    (call,) = quick.calls()
    time.sleep(0.3)
    assert web_app.posted == []
    quick.deliver(call["number"])
    assert len(web_app.posted) == 1
    quick.deliver(call["number"])
    assert [(each["posted"], each["outcome"]) for each in quick.deliveries()] == [(2, "200")]


def test_a_delivery_can_be_late(apollo: ApolloStub, web_app: WebApp):
    apollo.set(delivery_seconds=0.5)
    began = time.monotonic()
    ask(apollo, web_app, MOBILE)
    web_app.wait()
    assert time.monotonic() - began >= 0.5


def test_a_webhook_that_refuses_or_is_not_there_is_noted(quick: ApolloStub, web_app: WebApp):
    web_app.status = 503
    ask(quick, web_app, MOBILE)
    quick.ask(OTHER, reveal_phone_number="true", webhook_url="http://127.0.0.1:9/phones")
    deadline = time.monotonic() + 30
    while "" in outcomes(quick) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert outcomes(quick) == ["503", "ConnectError"]


def outcomes(apollo: ApolloStub) -> list[str]:
    return [delivery["outcome"] for delivery in apollo.deliveries()]


def test_a_dropped_answer_is_charged_and_its_phones_come_all_the_same(quick: ApolloStub, web_app: WebApp):
    quick.spoil("drop_after")
    with pytest.raises(httpx2.TransportError):
        ask(quick, web_app, MOBILE)
    assert quick.fired() == [1]
    _, _, body = web_app.wait()
    (call,) = quick.calls()
    assert orjson.loads(body)["request_id"] == call["request_id"]
    assert call["credits"] == 9


def test_a_delivery_that_is_due_while_the_process_is_gone_comes_after_its_start(new_sandbox, web_app: WebApp):
    apollo = ApolloStub(new_sandbox())
    apollo.set(delivery_seconds=3)
    ask(apollo, web_app, MOBILE)
    apollo.sandbox.end(9)
    assert web_app.posted == []
    apollo.sandbox.start()
    web_app.wait()


# Results, for who got no delivery


def test_a_result_is_pending_until_it_is_due_and_then_what_was_delivered(apollo: ApolloStub, web_app: WebApp):
    apollo.set(delivery_seconds=3600, deliveries=0)
    request_id = ask(apollo, web_app, MOBILE)["request_id"]
    pending = apollo.result(request_id)
    assert (pending.status_code, pending.json()["error_code"]) == (404, "result_pending")
    assert 3500 < pending.json()["retry_after_seconds"] <= 3600
    apollo.set(delivery_seconds=0)
    request_id = ask(apollo, web_app, OTHER)["request_id"]
    ready = apollo.result(request_id)
    assert ready.status_code == 200
    assert ready.json()["webhook_result"] == apollo.deliveries()[-1]["body"]
    assert ready.json()["request_id"] == str(request_id)


def test_a_result_expires(quick: ApolloStub, web_app: WebApp):
    request_id = ask(quick, web_app, MOBILE)["request_id"]
    quick.set(result_days=0)
    answer = quick.result(request_id)
    assert (answer.status_code, answer.json()["error_code"]) == (410, "request_id_expired")


@pytest.mark.parametrize("request_id", ["12", "-9223372036854775808", "9223372036854775807"])
def test_a_request_id_that_was_never_given_is_unknown(apollo: ApolloStub, request_id: str):
    answer = apollo.result(request_id)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "request_id_unknown")


@pytest.mark.parametrize("request_id", ["9223372036854775808", "-9223372036854775809", "1e5", "x", "0x1", "1.0"])
def test_a_request_id_that_is_no_64_bit_number_is_refused(apollo: ApolloStub, request_id: str):
    answer = apollo.result(request_id)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_request_id")


def test_a_request_without_phones_has_no_result(apollo: ApolloStub):
    answer = apollo.result(apollo.ask(MOBILE)["request_id"])
    assert answer.json()["error_code"] == "request_id_unknown"
