"""Messages given to the sandbox's webhook, which checks signatures and honours keys."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from cdp_platform.campaigns.channels.contract import Answer, Outgoing, Verdict
from cdp_platform.campaigns.channels.entry import Letter, Occasion
from cdp_platform.campaigns.channels.webhook import WebhookChannel
from cdp_platform.errors import ConfigurationError, SourceError, UnavailableError
from cdp_platform_tests.sandbox_process import OUTBOX_SECRET, SandboxProcess

PHONE = "+84901234567"
LETTER = Letter("k", PHONE, "", ("Chào ", "Linh"), (), "https://messages.example.com/u/token")


@pytest.fixture
def gateway(sandbox: SandboxProcess) -> Callable[..., WebhookChannel]:
    """Makes channels of the sandbox's webhook, whose outbox is empty."""

    def made(**options: Any) -> WebhookChannel:
        fields = {
            "name": "sms",
            "kind": "webhook",
            "to": "phone",
            "address": f"{sandbox.url}/outbox/webhook/sms",
            "status_url": f"{sandbox.url}/outbox/webhook/sms/{{key}}",
            "secret": OUTBOX_SECRET,
            "from": "SHOP",
            "timeout_seconds": 5,
        }
        return WebhookChannel.model_validate({**fields, **options})

    with sandbox.http() as http:
        http.delete("/outbox/messages").raise_for_status()
    return made


def message(key: str) -> Outgoing:
    return Outgoing(key, PHONE, json.dumps({"key": key, "to": PHONE, "text": "Hello"}).encode())


def sent(channel: WebhookChannel, *keys: str) -> list[Answer]:
    with channel.open() as sender:
        return list(sender.send([message(key) for key in keys]))


def taken(sandbox: SandboxProcess) -> list[tuple[str, str]]:
    with sandbox.http() as http:
        listed = http.get("/outbox/messages").raise_for_status().json()
    return sorted((each["key"], each["address"]) for each in listed if each["accepted"])


def spoil(sandbox: SandboxProcess, action: str, **options: Any) -> None:
    match = {"method": "POST", "path_regex": "/outbox/webhook/"}
    sandbox.spoil({"match": match, "action": action, "times": None, **options})


def test_messages_are_signed_and_arrive_once_for_each_key(
    sandbox: SandboxProcess, gateway: Callable[..., WebhookChannel]
) -> None:
    answers = sent(gateway(), *(f"k{number}" for number in range(20)), "k3")
    assert {answer.verdict for answer in answers} == {Verdict.ACCEPTED}
    assert taken(sandbox) == sorted((f"k{number}", PHONE) for number in range(20))


def test_a_message_says_to_whom_from_whom_of_what_event_and_how_to_opt_out(
    gateway: Callable[..., WebhookChannel],
) -> None:
    write = gateway().writer(Occasion("acme", "spring", "spring-1"))
    assert json.loads(write(LETTER)) == {
        "key": "k",
        "to": PHONE,
        "text": "Chào Linh",
        "unsubscribe": "https://messages.example.com/u/token",
        "event": "spring-1",
        "from": "SHOP",
    }
    assert "from" not in json.loads(gateway(**{"from": ""}).writer(Occasion("acme", "spring", "spring-1"))(LETTER))


def test_a_wrong_secret_is_about_us_and_not_about_the_person(
    sandbox: SandboxProcess, gateway: Callable[..., WebhookChannel]
) -> None:
    (answer,) = sent(gateway(secret="wrong"), "k")
    assert (answer.verdict, answer.code) == (Verdict.OURS, "HTTP 401")
    assert taken(sandbox) == []


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (429, Verdict.REST),
        (425, Verdict.NOT_TAKEN),
        (400, Verdict.FAILED),
        (422, Verdict.FAILED),
        (404, Verdict.OURS),
        (302, Verdict.OURS),
        (500, Verdict.UNKNOWN),
        (503, Verdict.UNKNOWN),
        (409, Verdict.UNKNOWN),
    ],
)
def test_a_status_means_what_it_means_for_every_outside_system(
    sandbox: SandboxProcess, gateway: Callable[..., WebhookChannel], status: int, verdict: Verdict
) -> None:
    spoil(sandbox, "status", status=status, retry_after=7, headers={"Location": "/elsewhere"}, body=f"to {PHONE}")
    (answer,) = sent(gateway(), "k")
    assert (answer.verdict, answer.code, answer.retry_after_seconds) == (verdict, f"HTTP {status}", 7)
    assert PHONE not in answer.reason
    assert sandbox.fired() == [1]


@pytest.mark.parametrize(
    ("status", "verdict"), [(429, Verdict.REST), (403, Verdict.OURS), (422, Verdict.FAILED), (500, Verdict.UNKNOWN)]
)
def test_a_gateway_that_takes_nothing_is_not_asked_for_each_message(
    sandbox: SandboxProcess, gateway: Callable[..., WebhookChannel], status: int, verdict: Verdict
) -> None:
    spoil(sandbox, "status", status=status)
    answers = sent(gateway(connections=2), *(f"k{number}" for number in range(12)))
    assert {answer.verdict for answer in answers} == {verdict}
    asked = sandbox.fired()[0]
    assert asked <= 2 if verdict in {Verdict.REST, Verdict.OURS} else asked == 12


def test_what_was_cut_after_it_arrived_is_unknown_and_known_to_the_provider(
    sandbox: SandboxProcess, gateway: Callable[..., WebhookChannel]
) -> None:
    spoil(sandbox, "drop_after")
    channel = gateway()
    assert [answer.verdict for answer in sent(channel, "k")] == [Verdict.UNKNOWN]
    assert sandbox.fired() == [1]
    asked = channel.ask("k")
    assert asked is not None
    assert asked.verdict is Verdict.ACCEPTED
    assert channel.ask("never sent") is None


def test_a_gateway_that_is_away_took_nothing(gateway: Callable[..., WebhookChannel]) -> None:
    answers = sent(gateway(address="http://127.0.0.1:1/messages"), "k0", "k1")
    assert [answer.verdict for answer in answers] == [Verdict.NOT_TAKEN, Verdict.NOT_TAKEN]


def test_a_gateway_that_says_nothing_leaves_one_unknown_and_holds_up_nobody(
    sandbox: SandboxProcess, gateway: Callable[..., WebhookChannel]
) -> None:
    spoil(sandbox, "delay", seconds=2)
    answers = sent(gateway(timeout_seconds=0.3, connections=1), "k0", "k1", "k2")
    # The others were not tried, which would have taken as long.
    assert [answer.verdict for answer in answers] == [Verdict.UNKNOWN, Verdict.NOT_TAKEN, Verdict.NOT_TAKEN]
    assert sandbox.fired() == [1]


def test_who_cannot_tell_what_became_of_a_message_is_an_error(
    sandbox: SandboxProcess, gateway: Callable[..., WebhookChannel]
) -> None:
    rule = {"match": {"method": "GET", "path_regex": "/outbox/webhook/"}, "action": "status"}
    sandbox.spoil({**rule, "status": 503}, {**rule, "status": 200, "body": "none"}, {**rule, "action": "drop_before"})
    with pytest.raises(UnavailableError, match="HTTP 503"):
        gateway().ask("k")
    with pytest.raises(SourceError, match="tells no `state`"):
        gateway().ask("k")
    with pytest.raises(UnavailableError, match="cannot be reached"):
        gateway().ask("k")
    assert sandbox.fired() == [1, 1, 1]


def test_a_state_that_settles_nothing_is_no_answer_yet(
    sandbox: SandboxProcess, gateway: Callable[..., WebhookChannel]
) -> None:
    rule = {"match": {"method": "GET", "path_regex": "/outbox/webhook/"}, "action": "status", "status": 200}
    sandbox.spoil({**rule, "body": {"state": "queued"}}, {**rule, "body": {"state": "failed"}})
    verdicts = [answer and answer.verdict for answer in (gateway().ask("k"), gateway().ask("k"))]
    assert verdicts == [Verdict.UNKNOWN, Verdict.FAILED]


def test_a_look_tells_whether_somebody_is_there(
    sandbox: SandboxProcess, gateway: Callable[..., WebhookChannel]
) -> None:
    assert gateway().look() == f"127.0.0.1:{sandbox.port} answers, requests are signed"
    with pytest.raises(UnavailableError, match="cannot be reached"):
        gateway(address="http://127.0.0.1:1/messages").look()
    rule = {"match": {"method": "GET", "path_regex": "/outbox/webhook/"}, "action": "status"}
    sandbox.spoil({**rule, "status": 403}, {**rule, "status": 302}, {**rule, "status": 502})
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="correct address and secret"):
            gateway().look()
    with pytest.raises(UnavailableError, match="HTTP 502"):
        gateway().look()
