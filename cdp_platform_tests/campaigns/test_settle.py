"""Deliveries of which nobody knows how they ended are settled by evidence, and never by a guess."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdp_platform.campaigns import deliveries, dispatch, events, settle
from cdp_platform.campaigns.channels.contract import Channel, Verdict
from cdp_platform.campaigns.settle import Evidence, SettleResult
from cdp_platform.errors import ConfigurationError, QueryError
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.provider import CUT_AFTER, CUT_BEFORE, Provider
from cdp_platform_tests.campaigns.sender import Sender


@pytest.fixture
def settled(sender: Sender, provider: Provider) -> Callable[..., SettleResult]:
    """Settles the tenant's deliveries; the provider's channel has these attributes."""

    def go(**channel: Any) -> SettleResult:
        return settle.settle(sender.connection, sender.tenant_id, lambda name: provider.channel(name, **channel))

    return go


@pytest.fixture
def lost(begun, send, sender: Sender, provider: Provider) -> Callable[..., None]:
    """An event of four people, where two answers were lost: one message was taken, the other one was not."""

    def go(**channel: Any) -> None:
        begun(4)
        cuts: dict[str, Verdict | str] = {"p0000@example.org": CUT_AFTER, "p0001@example.org": CUT_BEFORE}
        provider.behave = lambda _key, address: cuts.get(address, Verdict.ACCEPTED)
        send(**channel)
        assert (provider.done[CUT_AFTER], provider.done[CUT_BEFORE]) == (1, 1)
        assert sender.states() == {"confirmed": 2, "unknown no_answer": 2}
        provider.behave = lambda _key, _address: Verdict.ACCEPTED
        sender.rows("UPDATE campaigns.delivery_log SET handed_over_at = handed_over_at - interval '2 minutes'")

    return go


def _keys(sender: Sender) -> list[str]:
    return [key for (key,) in sender.rows("SELECT message_key FROM campaigns.delivery_log ORDER BY profile_id")]


def test_what_a_vanished_dispatcher_handed_over_is_unknown_when_its_lease_ends(begun, settled, sender: Sender):
    begun(3)
    vanish = (
        "UPDATE campaigns.delivery_log SET state = 'handed_over', handed_over_at = now(), claim = gen_random_uuid(),"
        " lease_until = now() + %s::interval WHERE profile_id = %s"
    )
    sender.rows(vanish, ["-1 second", "p0000"])
    sender.rows(vanish, ["1 minute", "p0001"])
    assert settled().vanished == 1
    assert sender.states() == {"unknown vanished": 1, "handed_over": 1, "reserved": 1}
    # Its key goes again.
    assert sender.rows("SELECT profile_id FROM campaigns.delivery_log WHERE state = 'unknown' AND due_at <= now()") == [
        ("p0000",)
    ]


def test_a_channel_that_can_answer_is_asked(lost, settled, sender: Sender):
    lost(key_seconds=0)
    result = settled(key_seconds=0, can_answer=True)
    assert (result.confirmed, result.failed, result.left) == (1, 1, 0)
    assert sender.states() == {"confirmed": 3, "failed not_known": 1}


def test_a_provider_that_does_not_answer_settles_nothing(lost, settled, sender: Sender, provider: Provider):
    lost(key_seconds=0)
    provider.down()
    result = settled(key_seconds=0, can_answer=True)
    assert "does not answer" in result.problems["email"]
    assert sender.states() == {"confirmed": 2, "unknown no_answer": 2}


def test_what_cannot_be_asked_stays_and_is_reported(lost, settled, sender: Sender, provider: Provider):
    lost(key_seconds=0)
    assert settled(key_seconds=0).left == 2
    assert sender.states() == {"confirmed": 2, "unknown no_answer": 2}
    assert len(provider.taken) == 3


def test_a_channel_that_is_gone_holds_up_no_other(lost, sender: Sender):
    lost(key_seconds=0)

    def gone(name: str) -> Channel:
        raise ConfigurationError(f"There is no channel {name}: name it in channels.yaml.")

    result = settle.settle(sender.connection, "acme", gone)
    assert "channels.yaml" in result.problems["email"]
    assert result.left == 2


def test_a_report_of_the_provider_settles(lost, settled, sender: Sender):
    lost(key_seconds=0)
    sender.rows(
        "INSERT INTO campaigns.delivery_outcome (tenant_id, outcome_id, delivery_id, kind, status_code, happened_at)"
        " SELECT tenant_id, profile_id, delivery_id, CASE profile_id WHEN 'p0000' THEN 'delivered' ELSE 'bounced' END,"
        " '5.1.1', now() FROM campaigns.delivery_log WHERE state = 'unknown'"
    )
    assert settled(key_seconds=0).reported == 2
    assert sender.states() == {"confirmed": 3, "failed bad_address": 1}


def test_the_log_of_a_provider_settles_and_the_event_is_done(lost, sender: Sender):
    lost(key_seconds=0)
    assert sender.status() == "partly_failed"
    taken, _, confirmed, _ = _keys(sender)
    log = [f"Nov 29 relay: message-id=<{taken}@example.org> sent", f"<{confirmed}@example.org>", "<no-key@example.org>"]
    assert settle.keys_in(log) == {taken, confirmed}
    with tenant_transaction(sender.connection, "acme"):
        settled: dict[str, Evidence] = dict.fromkeys(settle.keys_in(log), "confirmed")
        assert settle.resolve(sender.connection, "acme", settled, evidence="log of the relay") == 1
    assert sender.states() == {"confirmed": 2, "confirmed resolved": 1, "unknown no_answer": 1}
    assert sender.status() == "partly_failed"
    with tenant_transaction(sender.connection, "acme"):
        everybody: dict[str, Evidence] = dict.fromkeys(_keys_of_unknown(sender), "confirmed")
        assert settle.resolve(sender.connection, "acme", everybody, evidence="the person said so") == 1
    assert sender.status() == "done"


def _keys_of_unknown(sender: Sender) -> list[str]:
    rows = sender.connection.execute("SELECT message_key FROM campaigns.delivery_log WHERE state = 'unknown'")
    return [key for (key,) in rows]


def test_a_persons_word_never_changes_what_is_known(lost, sender: Sender):
    lost(key_seconds=0)
    with tenant_transaction(sender.connection, "acme"):
        everybody: dict[str, Evidence] = dict.fromkeys(_keys(sender), "failed")
        assert settle.resolve(sender.connection, "acme", everybody, evidence="a person") == 2
    assert sender.states() == {"confirmed": 2, "failed resolved": 2}


def test_an_event_that_ran_beyond_its_end_is_closed(begun, settled, sender: Sender):
    begun(3)
    sender.rows("UPDATE campaigns.delivery_log SET attempts = 1 WHERE profile_id = 'p0000'")
    sender.rows("UPDATE campaigns.marketing_event SET end_at = start_at")
    assert settled().ended == {"spring": "partly_failed"}
    assert sender.states() == {"excluded too_late": 2, "failed expired": 1}


def test_an_event_that_nobody_ended_is_ended(settled, sender: Sender):
    sender.event("empty")
    sender.reserve([], "empty")
    with tenant_transaction(sender.connection, "acme"):
        dispatch.begin(sender.connection, "acme", "empty")
    assert settled().ended == {"empty": "done"}


def test_an_event_without_an_audience_is_not_ended(settled, sender: Sender):
    sender.event()
    with tenant_transaction(sender.connection, "acme"):
        dispatch.begin(sender.connection, "acme", "spring")
    assert settled().ended == {}
    assert sender.status() == "running"


def test_a_person_has_failed_deliveries_tried_again_under_another_key(begun, send, sender: Sender, provider: Provider):
    begun(4)
    refused: dict[str, Verdict] = {"p0000@example.org": Verdict.FAILED, "p0001@example.org": Verdict.BAD_ADDRESS}
    provider.behave = lambda _key, address: refused.get(address, Verdict.ACCEPTED)
    send()
    before = set(_keys(sender))
    with tenant_transaction(sender.connection, "acme"):
        assert deliveries.retry(sender.connection, "acme", "spring") == 1
        assert deliveries.retry(sender.connection, "acme", "spring") == 0
        found = deliveries.totals(sender.connection, "acme", "spring")
    assert found.adds_up
    assert found.by_state == {"confirmed": 2, "failed": 1, "reserved": 1}
    assert sender.status() == "running"
    provider.behave = lambda _key, _address: Verdict.ACCEPTED
    send()
    (key,) = [key for key, address in provider.taken if address == "p0000@example.org"]
    assert key not in before
    assert sender.states() == {"confirmed": 3, "failed bad_address": 1}
    assert sender.status() == "partly_failed"


def test_nothing_is_tried_again_of_an_event_that_has_ended_or_was_never_sent(begun, sender: Sender):
    begun(2)
    sender.event("later")
    with tenant_transaction(sender.connection, "acme"):
        with pytest.raises(QueryError, match="planned"):
            deliveries.retry(sender.connection, "acme", "later")
        sender.connection.execute("UPDATE campaigns.marketing_event SET end_at = start_at")
        with pytest.raises(QueryError, match="later end"):
            deliveries.retry(sender.connection, "acme", "spring")


def test_complaints_pause_an_event(begun, send, sender: Sender):
    begun(300)
    send(per_day=250)
    assert sender.status() == "running"
    sender.rows(
        "INSERT INTO campaigns.delivery_outcome (tenant_id, outcome_id, delivery_id, kind, happened_at)"
        " SELECT tenant_id, delivery_id, delivery_id, 'complained', now() FROM campaigns.delivery_log"
        " WHERE state = 'confirmed' LIMIT 1"
    )
    with tenant_transaction(sender.connection, "acme"):
        reason = deliveries.pause_if_bad(sender.connection, "acme", "spring")
    assert reason
    assert "1 brought a complaint" in reason
    assert sender.status() == "paused"


def test_a_provider_that_does_not_know_yet_settles_nothing(lost, settled, sender: Sender, provider: Provider):
    lost(key_seconds=0)
    provider.knows_yet = False
    result = settled(key_seconds=0, can_answer=True)
    assert (result.confirmed, result.failed, result.left) == (0, 0, 2)
    assert sender.states() == {"confirmed": 2, "unknown no_answer": 2}


def test_a_cancelled_event_keeps_what_was_sent(begun, send, sender: Sender):
    begun(3)
    with tenant_transaction(sender.connection, "acme"):
        assert events.cancel(sender.connection, "acme", "spring")
        assert not events.cancel(sender.connection, "acme", "spring")
    assert send().why_ended == "nothing_due"
    assert sender.states() == {"excluded cancelled": 3}
    assert sender.rows("SELECT ended_at > %s FROM campaigns.marketing_event", [datetime.now(UTC) - timedelta(hours=1)])
