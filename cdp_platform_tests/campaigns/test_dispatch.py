"""What is due of an event goes out once, to those who may have it at that moment."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdp_platform.campaigns import deliveries, dispatch, events
from cdp_platform.campaigns.channels.contract import Outgoing
from cdp_platform.campaigns.dispatch import Handed
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.provider import Provider
from cdp_platform_tests.campaigns.sender import Sender, compose


def test_everybody_gets_one_message_and_the_event_is_done(begun, send, sender: Sender, provider: Provider):
    ids = begun(120)
    result = send()
    assert (result.sent, result.confirmed, result.why_ended, result.next_due_at) == (120, 120, "nothing_due", None)
    assert provider.addresses == [f"{each}@example.org" for each in ids]
    assert not provider.twice
    assert sender.states() == {"confirmed": 120}
    assert sender.status() == "done"
    assert send().sent == 0


def test_a_batch_is_at_most_fifty(begun, send):
    sizes = []

    def counting(batch: Sequence[Handed]) -> Sequence[Outgoing | str]:
        sizes.append(len(batch))
        return compose(batch)

    begun(120)
    send(compose=counting)
    assert sizes == [50, 50, 20]


def test_a_message_has_the_variables_of_its_person(begun, send, sender: Sender):
    seen: dict[str, Any] = {}

    def noting(batch: Sequence[Handed]) -> Sequence[Outgoing | str]:
        seen.update({handed.address: handed.variables for handed in batch})
        return compose(batch)

    begun(2)
    sender.rows("UPDATE customers.cdp_profiles SET first_name = 'Lan', living_city = 'Huế' WHERE profile_id = 'p0001'")
    send(compose=noting)
    assert seen["p0001@example.org"]["first_name"] == "Lan"
    assert seen["p0001@example.org"]["city"] == "Huế"
    assert seen["p0000@example.org"]["first_name"] is None


_CHANGES = {
    "closed": "UPDATE customers.cdp_profiles SET closed_at = now(), closed_reason = 'inactive' WHERE profile_id = %s",
    "no_address": "UPDATE customers.cdp_profiles SET primary_email = NULL WHERE profile_id = %s",
    "address_changed": "UPDATE customers.cdp_profiles SET primary_email = 'new@example.org' WHERE profile_id = %s",
    "no_consent": "UPDATE campaigns.consent_management SET state = 'withdrawn' WHERE profile_id = %s",
    "suppressed": """
        INSERT INTO campaigns.suppression (tenant_id, channel, address_hash, reason)
        SELECT tenant_id, '*', address_hash, 'manual' FROM campaigns.delivery_log WHERE profile_id = %s""",
}


@pytest.mark.parametrize("reason", _CHANGES)
def test_what_changed_since_the_audience_was_frozen_counts(
    begun, send, sender: Sender, provider: Provider, reason: str
):
    begun(3)
    sender.rows(_CHANGES[reason], ["p0000"])
    assert send().excluded == 1
    assert provider.addresses == ["p0001@example.org", "p0002@example.org"]
    assert sender.states() == {"confirmed": 2, f"excluded {reason}": 1}
    assert sender.status() == "done"


def test_a_person_has_no_more_messages_than_the_cap_allows(begun, send, sender: Sender, provider: Provider):
    tenants.add(sender.connection, "acme", settings=[CampaignSettings(cap_messages=1)])
    capped = Sender(sender.connection, tenants.get(sender.connection, "acme"))
    ids = begun(2)
    sender.event("summer")
    sender.reserve(ids, "summer")
    assert send(tenant=capped.tenant).confirmed == 2
    with tenant_transaction(sender.connection, "acme"):
        dispatch.begin(sender.connection, "acme", "summer")
    assert send("summer", tenant=capped.tenant).excluded == 2
    assert sender.states("summer") == {"excluded capped": 2}
    assert len(provider.taken) == 2


def test_quiet_hours_put_off_and_do_not_exclude(begun, send, sender: Sender, provider: Provider):
    now = datetime.now(UTC)
    quiet = CampaignSettings(
        quiet_from=(now - timedelta(hours=1)).time(),
        quiet_until=(now + timedelta(hours=2)).time().replace(microsecond=0),
    )
    tenants.add(sender.connection, "acme", settings=[quiet])
    begun(3)
    result = send(tenant=tenants.get(sender.connection, "acme"))
    assert (result.sent, result.why_ended) == (0, "nothing_due")
    assert result.next_due_at
    assert timedelta(hours=1) < result.next_due_at - now < timedelta(hours=3)
    assert sender.states() == {"reserved": 3}
    assert sender.status() == "running"
    assert not provider.taken


def test_what_quiet_hours_would_put_off_beyond_the_end_is_too_late(begun, send, sender: Sender):
    now = datetime.now(UTC)
    quiet = CampaignSettings(
        quiet_from=(now - timedelta(hours=1)).time(), quiet_until=(now + timedelta(hours=2)).time()
    )
    tenants.add(sender.connection, "acme", settings=[quiet])
    begun(3, end_at=now + timedelta(hours=1))
    send(tenant=tenants.get(sender.connection, "acme"))
    assert sender.states() == {"excluded too_late": 3}
    assert sender.status() == "done"


def test_nothing_is_sent_after_the_end(begun, send, sender: Sender, provider: Provider):
    begun(3)
    sender.rows("UPDATE campaigns.marketing_event SET end_at = start_at")
    assert send().excluded == 3
    assert sender.states() == {"excluded too_late": 3}
    assert not provider.taken


def test_an_event_that_is_put_off_while_it_runs_waits_for_its_new_start(
    begun, send, sender: Sender, provider: Provider
):
    begun(120)
    in_two_hours = datetime.now(UTC) + timedelta(hours=2)

    def moving(batch: Sequence[Handed]) -> Sequence[Outgoing | str]:
        sender.rows("UPDATE campaigns.marketing_event SET start_at = %s", [in_two_hours])
        return compose(batch)

    result = send(compose=moving)
    assert len(provider.taken) == 50
    assert result.next_due_at == in_two_hours
    assert sender.states() == {"confirmed": 50, "reserved": 70}


def test_a_cancelled_event_sends_the_batch_that_is_under_way_and_no_other(
    begun, send, sender: Sender, provider: Provider
):
    begun(120)

    def cancelling(batch: Sequence[Handed]) -> Sequence[Outgoing | str]:
        with tenant_transaction(sender.connection, "acme"):
            assert events.cancel(sender.connection, "acme", "spring", reason="changed our mind")
        return compose(batch)

    send(compose=cancelling)
    assert len(provider.taken) == 50
    assert sender.states() == {"confirmed": 50, "excluded cancelled": 70}
    assert sender.status() == "cancelled"


def test_a_pause_takes_effect_within_one_batch_ten_times_under_load(begun, send, sender: Sender, provider: Provider):
    ids = begun(550)

    def pausing(batch: Sequence[Handed]) -> Sequence[Outgoing | str]:
        sender_moves("paused", "running")
        return compose(batch)

    def sender_moves(after: events.Status, before: events.Status) -> None:
        with tenant_transaction(sender.connection, "acme"):
            assert events.move(sender.connection, "acme", "spring", after, before=[before])

    for number in range(1, 11):
        result = send(compose=pausing)
        assert (result.sent, result.why_ended) == (50, "not_running")
        assert len(provider.taken) == 50 * number
        assert sender.status() == "paused"
        sender_moves("running", "paused")
    send()
    assert provider.addresses == [f"{each}@example.org" for each in ids]
    assert not provider.twice
    assert sender.status() == "done"


def test_several_dispatchers_share_an_event_without_sending_twice(
    begun, send, sender: Sender, provider: Provider, new_connection
):
    ids = begun(300)
    provider.honours_keys = False
    threads = [threading.Thread(target=lambda: send(connection=new_connection())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.addresses == [f"{each}@example.org" for each in ids]
    assert sender.status() == "done"


def test_an_event_begins_once_and_is_missed_when_its_grace_is_over(sender: Sender):
    now = datetime.now(UTC)
    late = {"start_at": now - timedelta(hours=3), "end_at": now + timedelta(days=1)}
    sender.event("in_time", start_at=now - timedelta(minutes=50))
    sender.event("late", **late)
    sender.event("local", **late, local_time=True)
    with tenant_transaction(sender.connection, "acme"):
        begun = [dispatch.begin(sender.connection, "acme", each) for each in ("in_time", "late", "local", "in_time")]
    # Somewhere on earth it is not too late yet.
    assert begun == ["running", "missed", "running", "running"]


def test_at_local_time_it_is_too_late_for_those_where_the_grace_was_over_at_the_beginning(send, sender: Sender):
    now = datetime.now(UTC)
    ids = sender.people(2)
    sender.event(start_at=now, local_time=True)
    sender.reserve(ids)
    sender.rows("UPDATE campaigns.delivery_log SET time_zone = 'Asia/Tokyo' WHERE profile_id = 'p0001'")
    with tenant_transaction(sender.connection, "acme"):
        assert dispatch.begin(sender.connection, "acme", "spring") == "running"
    send()
    assert sender.states() == {"confirmed": 1, "excluded too_late": 1}


def test_the_people_of_the_audience_add_up_at_every_moment(begun, send, sender: Sender, new_connection):
    begun(120)
    other = Sender(new_connection(), sender.tenant)
    seen = []

    def counting(batch: Sequence[Handed]) -> Sequence[Outgoing | str]:
        with tenant_transaction(other.connection, "acme"):
            seen.append(deliveries.totals(other.connection, "acme", "spring"))
        return compose(batch)

    send(compose=counting)
    assert [dict(each.by_state) for each in seen] == [
        {"handed_over": 50, "reserved": 70},
        {"confirmed": 50, "handed_over": 50, "reserved": 20},
        {"confirmed": 100, "handed_over": 20},
    ]
    assert all(each.adds_up for each in seen)


def test_a_row_that_vanished_is_found(begun, sender: Sender):
    begun(3)
    sender.rows("DELETE FROM campaigns.delivery_log WHERE profile_id = 'p0000'")
    with tenant_transaction(sender.connection, "acme"):
        assert not deliveries.totals(sender.connection, "acme", "spring").adds_up


def test_a_limit_of_the_channel_holds_and_says_when_to_come_back(begun, send, sender: Sender, provider: Provider):
    begun(5)
    result = send(per_minute=2)
    assert result.why_ended == "gate_closed"
    assert result.next_due_at
    assert len(provider.taken) == 2
    assert sender.status() == "running"
    assert timedelta(seconds=20) < result.next_due_at - datetime.now(UTC) <= timedelta(seconds=62)


def test_the_limit_of_an_event_holds_beside_that_of_the_channel(begun, send, provider: Provider):
    begun(5, rate_per_minute=3)
    assert send(per_minute=1000).why_ended == "gate_closed"
    assert len(provider.taken) == 3


def test_a_limit_grants_no_turn_for_nobody(begun, send, provider: Provider):
    begun(3)
    for _ in range(5):
        send(per_day=3)
    assert len(provider.taken) == 3


def test_time_that_is_over_ends_a_run(begun, send, sender: Sender):
    begun(3)
    assert send(seconds=0).why_ended == "time_over"
    assert sender.states() == {"reserved": 3}


def test_the_first_event_of_all_is_planned_with_statistics(begun, send, sender: Sender):
    begun(3)
    known = "SELECT reltuples::int FROM pg_class WHERE oid = 'campaigns.delivery_log'::regclass"
    assert sender.rows(known) == [(-1,)]
    send()
    assert sender.rows(known) == [(3,)]
    assert sender.connection.execute("SHOW enable_hashjoin").fetchone() == ("on",)


def test_two_tenants_are_kept_apart(
    begun, send, sender: Sender, new_sender: Callable[[str], Sender], provider: Provider
):
    begun(2)
    other = new_sender("other")
    ids = other.people(3)
    other.event()
    other.reserve(ids)
    assert send().sent == 2
    assert other.states() == {"reserved": 3}
    with tenant_transaction(sender.connection, "acme"):
        assert deliveries.totals(sender.connection, "acme", "spring").people == 2
