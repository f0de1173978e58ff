"""Answers of a provider: whom they count against, and when the message goes again."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from cdp_platform.campaigns import gates, verdicts
from cdp_platform.campaigns.channels.contract import Answer, Outgoing, Verdict
from cdp_platform.campaigns.dispatch import Handed
from cdp_platform.ops.gate import Gate
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.provider import CUT_AFTER, Provider
from cdp_platform_tests.campaigns.sender import Sender, compose

_FIRST = "p0000@example.org"


def _first(verdict: Verdict | str) -> Callable[[str, str], Verdict | str]:
    """Answers so for the first person, and takes all others."""
    return lambda _key, address: verdict if address == _FIRST else Verdict.ACCEPTED


def _only(sender: Sender) -> tuple:
    """State, reason, attempts, seconds until it is due, and whether it counts for caps, of the first person."""
    return sender.rows(
        "SELECT state::text, reason, attempts, round(extract(epoch FROM due_at - now()))::int,"
        " handed_over_at IS NOT NULL FROM campaigns.delivery_log WHERE profile_id = 'p0000'"
    )[0]


def _gate(sender: Sender, provider: Provider) -> Gate:
    return gates.of_channel(sender.connection, provider.channel())


def test_a_refusal_fails_and_suppresses_nobody(begun, send, sender: Sender, provider: Provider):
    begun(3)
    provider.behave = _first(Verdict.FAILED)
    send()
    assert sender.states() == {"confirmed": 2, "failed refused": 1}
    assert sender.rows("SELECT FROM campaigns.suppression") == []
    assert sender.status() == "partly_failed"


def test_a_bad_address_is_suppressed_with_its_failure(begun, send, sender: Sender, provider: Provider):
    begun(3)
    provider.behave = _first(Verdict.BAD_ADDRESS)
    send()
    assert sender.states() == {"confirmed": 2, "failed bad_address": 1}
    suppressed = sender.rows(
        "SELECT s.channel, s.reason, d.profile_id FROM campaigns.suppression AS s"
        " JOIN campaigns.delivery_log AS d USING (tenant_id, address_hash)"
    )
    assert suppressed == [("email", "hard_bounce", "p0000")]


def test_later_counts_against_the_person_and_waits_longer_each_time(begun, send, sender: Sender, provider: Provider):
    begun(3)
    provider.behave = _first(Verdict.LATER)
    waits = []
    for attempt in (1, 2, 3, 4):
        send()
        state, _, attempts, wait, counts = _only(sender)
        assert (state, attempts, counts) == ("reserved", attempt, False)
        waits.append(wait)
        sender.rows("UPDATE campaigns.delivery_log SET due_at = now() WHERE state = 'reserved'")
    for wait, minutes in zip(waits, (1, 2, 4, 8), strict=True):
        assert 0.79 * 60 * minutes <= wait <= 1.21 * 60 * minutes
    assert sender.status() == "running"
    provider.behave = lambda _key, _address: Verdict.ACCEPTED
    send()
    assert sender.status() == "done"
    assert len({key for key, _ in provider.taken}) == 3


def test_later_ends_with_the_event(begun, send, sender: Sender, provider: Provider):
    begun(3, end_at=datetime.now(UTC) + timedelta(seconds=30))
    provider.behave = _first(Verdict.LATER)
    send()
    assert sender.states() == {"confirmed": 2, "failed expired": 1}
    assert sender.status() == "partly_failed"


def test_what_is_about_us_burns_no_attempt_and_suppresses_nobody(begun, send, sender: Sender, provider: Provider):
    begun(20)
    provider.behave = lambda _key, _address: Verdict.OURS
    result = send()
    assert provider.done[Verdict.OURS] == 20
    assert sender.states() == {"reserved": 20}
    assert sender.rows("SELECT DISTINCT attempts FROM campaigns.delivery_log") == [(0,)]
    assert sender.rows("SELECT FROM campaigns.suppression") == []
    assert result.put_back == 20
    assert _gate(sender, provider).closed()


def test_one_who_is_refused_for_us_holds_up_nobody(begun, send, sender: Sender, provider: Provider):
    begun(120)
    provider.behave = _first(Verdict.OURS)
    send()
    assert sender.states() == {"confirmed": 119, "reserved": 1}
    state, _, attempts, wait, _ = _only(sender)
    assert (state, attempts) == ("reserved", 0)
    assert wait > 200
    assert _gate(sender, provider).closed() is None


def test_a_provider_that_is_down_for_an_hour_burns_no_attempt(begun, send, sender: Sender, provider: Provider):
    ids = begun(120)
    provider.down()
    tried = 0
    for _ in range(12):
        # Five minutes later.
        sender.connection.execute(
            "UPDATE ops.gate SET open_until = open_until - interval '5 minutes', probe_until = NULL"
        )
        sender.rows("UPDATE campaigns.delivery_log SET due_at = due_at - interval '5 minutes'")
        tried += send().put_back
        assert sender.states() == {"reserved": 120}
    assert tried > 0
    assert _gate(sender, provider).closed()
    assert sender.rows("SELECT DISTINCT attempts FROM campaigns.delivery_log") == [(0,)]
    sender.connection.execute("UPDATE ops.gate SET open_until = now()")
    provider.up()
    sender.rows("UPDATE campaigns.delivery_log SET due_at = now()")
    send()
    assert provider.addresses == [f"{each}@example.org" for each in ids]
    assert not provider.twice
    assert sender.status() == "done"


def test_an_open_breaker_stops_all_processes_and_burns_nothing(begun, send, sender: Sender, provider: Provider):
    begun(3)
    gate = _gate(sender, provider)
    for _ in range(gate.breaker.failures):
        gate.failed("HTTP 503")
    result = send()
    assert (result.sent, result.why_ended) == (0, "gate_closed")
    assert "HTTP 503" in result.reason
    assert result.next_due_at
    assert result.next_due_at > datetime.now(UTC)
    assert not provider.taken
    assert sender.states() == {"reserved": 3}


@pytest.mark.parametrize("seconds", [None, 240.0])
def test_a_provider_that_asks_everybody_to_wait_rests_as_long_as_it_says(
    begun, send, sender: Sender, provider: Provider, seconds: float | None
):
    begun(120)
    provider.behave, provider.retry_after = lambda _key, _address: Verdict.REST, seconds
    result = send()
    assert provider.done[Verdict.REST] == result.put_back == 50
    assert result.why_ended == "gate_closed"
    closed = _gate(sender, provider).closed()
    assert closed
    assert closed.seconds == pytest.approx(seconds or verdicts.REST_SECONDS, abs=15)
    assert sender.states() == {"reserved": 120}
    assert sender.rows("SELECT DISTINCT attempts FROM campaigns.delivery_log") == [(0,)]


def test_later_for_all_is_a_rest_and_counts_against_nobody(begun, send, sender: Sender, provider: Provider):
    begun(120)
    provider.behave = lambda _key, _address: Verdict.LATER
    result = send()
    assert provider.done[Verdict.LATER] == 50
    assert result.why_ended == "gate_closed"
    assert sender.rows("SELECT DISTINCT attempts FROM campaigns.delivery_log") == [(0,)]
    assert _gate(sender, provider).closed()


def test_five_in_a_row_rest_and_four_do_not():
    later, accepted = Answer(Verdict.LATER, "451 4.7.1"), Answer(Verdict.ACCEPTED, "250")
    judged = verdicts.resting([later] * 4 + [accepted] + [later] * 5)
    assert [answer.verdict for answer in judged] == [Verdict.LATER] * 4 + [Verdict.ACCEPTED] + [Verdict.REST] * 5


def test_a_template_that_fails_for_one_person_fails_that_person_alone(begun, send, sender: Sender, provider: Provider):
    def failing(batch: Sequence[Handed]) -> list[Outgoing | str]:
        return ["first_name is missing" if each.address == _FIRST else compose([each])[0] for each in batch]

    begun(3)
    send(compose=failing)
    assert sender.states() == {"confirmed": 2, "failed template": 1}
    assert _FIRST not in provider.addresses


def test_composing_that_breaks_sends_nothing_and_leaves_everybody_waiting(
    begun, send, sender: Sender, provider: Provider
):
    def breaking(_: Sequence[Handed]) -> list[Outgoing | str]:
        raise ZeroDivisionError

    begun(3)
    with pytest.raises(ZeroDivisionError):
        send(compose=breaking)
    assert not provider.taken
    assert sender.states() == {"reserved": 3}


def test_a_lost_answer_is_settled_by_the_same_key_while_the_provider_honours_it(
    begun, send, sender: Sender, provider: Provider
):
    ids = begun(3)
    provider.behave = _first(CUT_AFTER)
    assert send().unknown == 1
    assert provider.done[CUT_AFTER] == 1
    assert sender.states() == {"confirmed": 2, "unknown no_answer": 1}
    assert sender.status() == "running"
    provider.behave = lambda _key, _address: Verdict.ACCEPTED
    sender.rows("UPDATE campaigns.delivery_log SET due_at = now() WHERE state = 'unknown'")
    assert send().confirmed == 1
    assert provider.addresses == [f"{each}@example.org" for each in ids]
    assert sender.status() == "done"


def test_a_lost_answer_stays_unknown_where_the_key_is_not_honoured(begun, send, sender: Sender, provider: Provider):
    begun(3)
    provider.behave = _first(CUT_AFTER)
    result = send(key_seconds=0)
    assert (result.unknown, result.next_due_at) == (1, None)
    assert send(key_seconds=0).sent == 0
    assert sender.states() == {"confirmed": 2, "unknown no_answer": 1}
    assert sender.status() == "partly_failed"


def test_whoever_opted_out_since_gets_no_unknown_message_again(begun, send, sender: Sender, provider: Provider):
    begun(3)
    provider.behave = _first(CUT_AFTER)
    send()
    sender.rows("UPDATE campaigns.delivery_log SET due_at = now() WHERE state = 'unknown'")
    sender.consent(["p0000"], "withdrawn")
    assert send().sent == 0
    assert sender.states() == {"confirmed": 2, "unknown no_answer": 1}
    assert _only(sender)[3] is None


@pytest.mark.parametrize("wrong", ["bad_address", "template"])
def test_an_event_pauses_itself_when_too_many_fail(begun, send, sender: Sender, provider: Provider, wrong: str):
    def failing(batch: Sequence[Handed]) -> list[Outgoing | str]:
        return ["no name" if wrong == "template" and _is_bad(each.address) else compose([each])[0] for each in batch]

    def _is_bad(address: str) -> bool:
        return int(address[1:5]) % 10 == 0

    begun(400)
    provider.behave = lambda _key, address: (
        Verdict.BAD_ADDRESS if wrong == "bad_address" and _is_bad(address) else Verdict.ACCEPTED
    )
    result = send(compose=failing)
    assert sender.status() == "paused"
    assert 200 <= result.confirmed + result.failed <= 300
    # What fails in the template is not sent.
    assert result.sent == result.confirmed + (result.failed if wrong == "bad_address" else 0)
    assert "messages" in result.reason
    with tenant_transaction(sender.connection, "acme"):
        assert sender.connection.execute("SELECT status_reason FROM campaigns.marketing_event").fetchone() == (
            result.reason,
        )


def test_an_event_with_few_failures_goes_on(begun, send, sender: Sender, provider: Provider):
    begun(400)
    provider.behave = lambda _key, address: Verdict.BAD_ADDRESS if int(address[1:5]) % 25 == 0 else Verdict.ACCEPTED
    send()
    assert sender.states() == {"confirmed": 384, "failed bad_address": 16}
    assert sender.status() == "partly_failed"
