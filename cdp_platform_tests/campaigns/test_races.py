"""What others commit while a batch is under way: seen before the batch is handed over, and never undone by it.

A batch is held up where it waits for the recipients, by a transaction of the test that has locked one of them. What is
committed meanwhile has to be seen.
"""

import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest

from cdp_platform.campaigns import dispatch, opt_outs
from cdp_platform.campaigns.channels.contract import Verdict
from cdp_platform.campaigns.opt_outs import OptOut
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.customers import persons
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.provider import Provider
from cdp_platform_tests.campaigns.sender import Sender

Connects = Callable[[], psycopg.Connection]


@contextmanager
def _held_up(sender: Sender, send: Any, new_connection: Connects) -> Generator[Sender]:
    """A dispatch that waits for a recipient; goes on at the end. Yields the tenant on another connection."""
    holder = new_connection()
    dispatcher, other = new_connection(), new_connection()
    thread = threading.Thread(target=partial(send, connection=dispatcher))
    with tenant_transaction(holder, "acme"):
        holder.execute(
            "INSERT INTO campaigns.recipient (tenant_id, channel, address_hash)"
            " SELECT tenant_id, '*', address_hash FROM campaigns.delivery_log WHERE profile_id = 'p0000'"
        )
        thread.start()
        waits = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
        while other.execute(waits, [dispatcher.info.backend_pid]).fetchone() != (True,):
            assert thread.is_alive()
        yield Sender(other, sender.tenant)
    thread.join()


@pytest.fixture
def held_up(sender: Sender, send, new_connection: Connects):
    return partial(_held_up, sender, send, new_connection)


def _hash(sender: Sender) -> bytes:
    return sender.rows("SELECT address_hash FROM campaigns.delivery_log WHERE profile_id = 'p0000'")[0][0]


def test_an_opt_out_that_is_committed_meanwhile_is_seen(begun, held_up, sender: Sender, provider: Provider):
    begun(3)
    address_hash = _hash(sender)
    with held_up() as other, tenant_transaction(other.connection, "acme"):
        opted_out = OptOut(address_hash, _now(other), "test")
        opt_outs.opt_out(other.connection, "acme", "email", [opted_out], None, source="one-click")
    assert provider.addresses == ["p0001@example.org", "p0002@example.org"]
    assert sender.states() == {"confirmed": 2, "excluded suppressed": 1}


def test_a_complaint_that_is_committed_meanwhile_is_seen(begun, held_up, sender: Sender, provider: Provider):
    begun(3)
    address_hash = _hash(sender)
    with held_up() as other, tenant_transaction(other.connection, "acme"):
        complaint = OptOut(address_hash, _now(other), "test")
        opt_outs.opt_out(other.connection, "acme", "email", [complaint], None, reason="complaint", source="complaint")
    assert provider.addresses == ["p0001@example.org", "p0002@example.org"]


def test_a_merge_that_is_committed_meanwhile_is_seen(begun, held_up, sender: Sender, provider: Provider):
    begun(3)
    with held_up() as other:
        other.rows(
            "UPDATE customers.cdp_profiles SET closed_at = now(), closed_reason = 'merged', root_profile_id = 'p0001'"
            " WHERE profile_id = 'p0000'"
        )
    assert provider.addresses == ["p0001@example.org", "p0002@example.org"]
    assert sender.states() == {"confirmed": 2, "excluded closed": 1}


def test_a_pause_that_is_committed_meanwhile_is_seen(begun, held_up, sender: Sender, provider: Provider):
    begun(3)
    with held_up() as other:
        other.rows("UPDATE campaigns.marketing_event SET status = 'paused'")
    assert not provider.taken
    assert sender.states() == {"reserved": 3}


def _now(sender: Sender) -> Any:
    row = sender.connection.execute("SELECT now()").fetchone()
    assert row
    return row[0]


def test_an_erasure_waits_for_the_batch_and_empties_what_is_left(
    begun, send, sender: Sender, provider: Provider, new_connection: Connects
):
    """The person is erased while their message is on its way; nothing of them stays, and the sums are right."""
    begun(3)
    erasing: list[threading.Thread] = []

    def erase() -> None:
        persons.erase(new_connection(), "acme", ["p0000"])

    def behave(_key: str, address: str) -> Verdict:
        if address == "p0000@example.org":
            erasing.append(threading.Thread(target=erase))
            erasing[0].start()
            erasing[0].join()
        return Verdict.ACCEPTED

    provider.behave = behave
    send()
    assert erasing
    assert sender.states() == {"confirmed": 3}
    assert sender.status() == "done"
    assert sender.rows(
        "SELECT count(*)::int FROM campaigns.delivery_log WHERE profile_id IS NULL AND address_hash IS NULL"
        " AND message_key IS NULL AND time_zone IS NULL"
    ) == [(1,)]


def test_an_erased_person_who_waits_gets_nothing(begun, send, sender: Sender, provider: Provider):
    begun(3)
    persons.erase(sender.connection, "acme", ["p0000"])
    send()
    assert provider.addresses == ["p0001@example.org", "p0002@example.org"]
    assert sender.states() == {"confirmed": 2, "excluded erased": 1}
    assert sender.status() == "done"


def test_eight_dispatchers_at_eight_events_break_no_cap(
    send, sender: Sender, provider: Provider, new_connection: Connects
):
    tenants.add(sender.connection, "acme", settings=[CampaignSettings(cap_messages=1)])
    capped = tenants.get(sender.connection, "acme")
    ids = sender.people(120)
    numbers = range(8)
    for number in numbers:
        sender.event(f"e{number}")
        sender.reserve(ids, f"e{number}")
    with tenant_transaction(sender.connection, "acme"):
        for number in numbers:
            dispatch.begin(sender.connection, "acme", f"e{number}")
    together = threading.Barrier(8)

    def work(number: int) -> None:
        connection = new_connection()
        together.wait()
        send(f"e{number}", connection=connection, tenant=capped)

    threads = [threading.Thread(target=work, args=[number]) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(provider.addresses) == dict.fromkeys((f"{each}@example.org" for each in ids), 1)
    by_event = [sender.states(f"e{number}") for number in numbers]
    assert sum(state.get("confirmed", 0) for state in by_event) == 120
    assert sum(state.get("excluded capped", 0) for state in by_event) == 7 * 120
    # They were at it together.
    assert sum("confirmed" in state for state in by_event) > 1
    assert {sender.status(f"e{number}") for number in numbers} == {"done"}


def test_two_addresses_of_one_person_share_a_cap(send, sender: Sender, new_connection: Connects, provider: Provider):
    tenants.add(sender.connection, "acme", settings=[CampaignSettings(cap_messages=1)])
    capped = tenants.get(sender.connection, "acme")
    sender.profiles({"profile_id": "lan", "primary_email": "lan@example.org", "primary_phone": "+84901234567"})
    for channel in ("email", "sms"):
        sender.consent(["lan"], channel=channel)
        sender.event(channel, channel=channel)
        sender.reserve(["lan"], channel, to="email" if channel == "email" else "phone")
        with tenant_transaction(sender.connection, "acme"):
            dispatch.begin(sender.connection, "acme", channel)
    options: dict[str, dict[str, Any]] = {"email": {}, "sms": {"name": "sms", "kind": "webhook", "to": "phone"}}
    threads = [
        threading.Thread(target=partial(send, each, connection=new_connection(), tenant=capped, **options[each]))
        for each in options
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(provider.taken) == 1
    assert sorted([*sender.states("email"), *sender.states("sms")]) == ["confirmed", "excluded capped"]


def test_a_confirmation_is_asked_for_once(send, sender: Sender, provider: Provider):
    ids = sender.people(2, consent=None)
    sender.consent(ids, "requested")
    for event_id in ("first", "again"):
        sender.event(event_id, type="confirmation")
        sender.reserve(ids, event_id)
        with tenant_transaction(sender.connection, "acme"):
            dispatch.begin(sender.connection, "acme", event_id)
        send(event_id)
        sender.rows("UPDATE campaigns.delivery_log SET handed_over_at = handed_over_at - interval '1 year'")
    assert len(provider.taken) == 2
    assert sender.states("again") == {"excluded capped": 2}
