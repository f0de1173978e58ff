"""The webhooks of the outbox: what they take, and that they honour keys."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import orjson
import pytest

from cdp_platform_tests.sandbox.outbox.conftest import Sender
from cdp_platform_tests.sandbox_process import OUTBOX_SECRET
from cdp_sandbox.outbox.reports import signature, signed


def test_a_message_that_is_taken_is_in_the_outbox(sender: Sender):
    answer = sender.post("k1", channel="zalo", text="Chào  An")
    assert answer.status_code == 200
    assert answer.json()["state"] == "accepted"
    (message,) = sender.messages()
    assert (message["channel"], message["key"], message["address"]) == ("zalo", "k1", "+84901234567")
    assert (message["subject"], message["accepted"], message["delivered"]) == ("Chào An", True, 1)


def test_a_key_that_comes_again_gets_the_same_answer_and_nothing_is_delivered(sender: Sender):
    first, second = sender.post("k1"), sender.post("k1", text="Something else")
    assert first.content == second.content
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    (message,) = sender.messages()
    assert (message["subject"], message["asked"], message["delivered"]) == ("Hello", 2, 1)


def test_a_key_that_comes_often_at_once_is_delivered_once(sender: Sender):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: sender.post("k1"), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(sender.messages()) == 1


def test_a_key_is_of_one_channel(sender: Sender):
    sender.post("k1", channel="sms")
    sender.post("k1", channel="zalo")
    assert [message["channel"] for message in sender.messages()] == ["sms", "zalo"]


def test_a_channel_tells_what_became_of_a_key(sender: Sender):
    sender.post("k1")
    assert httpx2.get(f"{sender.url}/webhook/sms/k1").json()["state"] == "accepted"
    assert httpx2.get(f"{sender.url}/webhook/sms/k2").status_code == 404
    assert httpx2.get(f"{sender.url}/webhook/zalo/k1").status_code == 404


def test_a_message_whose_answer_was_lost_is_known_by_its_key(sender: Sender):
    path = "/outbox/webhook/sms"
    sender.sandbox.spoil({"match": {"method": "POST", "path_regex": path}, "action": "drop_after"})
    with pytest.raises(httpx2.TransportError):
        sender.post("k1")
    assert sender.sandbox.fired() == [1]
    assert httpx2.get(f"{sender.url}/webhook/sms/k1").status_code == 200
    assert sender.post("k1").headers["idempotent-replayed"] == "true"


def test_a_forged_a_changed_and_an_old_request_are_refused(sender: Sender):
    assert sender.post(secret="another").status_code == 401
    address, body = f"{sender.url}/webhook/sms", orjson.dumps({"to": "+84901234567", "text": "Hello"})
    changed = {**signed(OUTBOX_SECRET, body + b" "), "idempotency-key": "k1"}
    assert httpx2.post(address, content=body, headers=changed).status_code == 401
    stamp = "1700000000"
    old = {"x-cdp-timestamp": stamp, "x-cdp-signature": signature(OUTBOX_SECRET, stamp, body)}
    assert httpx2.post(address, content=body, headers={**old, "idempotency-key": "k1"}).status_code == 401
    assert httpx2.post(address, content=body).status_code == 401
    assert sender.messages() == []


@pytest.mark.parametrize("fields", [{"to": ""}, {"text": ""}, {"text": None}, {"to": ["+84901234567"]}])
def test_a_message_to_nobody_or_without_a_text_is_refused(sender: Sender, fields: dict[str, Any]):
    assert sender.post(**fields).status_code == 422
    assert sender.messages() == []


def test_a_message_without_a_key_is_refused(sender: Sender):
    assert sender.post("").status_code == 400
    assert sender.messages() == []


def test_it_refuses_with_any_status_and_says_when_to_come_back(sender: Sender):
    match = {"method": "POST", "path_regex": "/outbox/webhook/", "contains": "+8490"}
    sender.sandbox.spoil({"match": match, "action": "status", "status": 429, "retry_after": 7})
    answer = sender.post("k1")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert sender.sandbox.fired() == [1]
    assert sender.post("k1").status_code == 200
