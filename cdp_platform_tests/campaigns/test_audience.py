"""The audience of an event: one row and one reason for everybody, frozen."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from cdp_platform.campaigns import audience, events
from cdp_platform.campaigns.audience import Snapshot
from cdp_platform.errors import ConfigurationError, QueryError
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests import crashes
from cdp_platform_tests.campaigns.audiences import EMAIL, MEMBER, decisions, frozen, prepared
from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.conftest import Warehouse


def test_everybody_in_the_segment_has_one_row_with_the_first_reason(sender: Sender) -> None:
    closed = {"closed_at": "2026-01-01", "closed_reason": "inactive"}
    sender.people(1, prefix="closed", segments=MEMBER, **closed)
    sender.people(1, prefix="mute", segments=MEMBER, primary_email=None)
    sender.people(1, prefix="silent", segments=MEMBER, consent=None)
    sender.people(1, prefix="bounced", segments=MEMBER)
    sender.people(3, prefix="same", segments=MEMBER, primary_email="same@example.org")
    sender.people(1, prefix="tired", segments=MEMBER)
    sender.people(2, prefix="fine", segments=MEMBER)
    sender.people(1, prefix="elsewhere")
    sender.rows(
        "INSERT INTO campaigns.suppression (tenant_id, channel, address_hash, reason)"
        " SELECT 'acme', 'email', ops.address_hash(ops.salt_of('acme'), 'bounced0000@example.org'), 'hard_bounce'"
    )
    sender.reserve(["tired0000"], sender.event("earlier"))
    sender.rows("UPDATE campaigns.delivery_log SET state = 'handed_over', handed_over_at = now()")
    sender.event()

    snapshot = frozen(sender, cap_messages=1)

    reasons = {"closed": 1, "no_address": 1, "no_consent": 1, "suppressed": 1, "duplicate": 2, "capped": 1}
    assert snapshot == Snapshot(10, 3, reasons)
    told = decisions(sender)
    assert told["closed0000"] == "closed"
    assert told["mute0000"] == "no_address"
    assert told["silent0000"] == "no_consent"
    assert told["bounced0000"] == "suppressed"
    assert told["tired0000"] == "capped"
    assert told["fine0000"] == told["fine0001"] == "included"
    assert sum(sender.states().values()) == 10


def test_of_profiles_with_one_address_the_one_updated_last_that_may_have_it_stays(sender: Sender) -> None:
    for day, name in ((1, "old"), (3, "new"), (2, "mid"), (3, "twin")):
        sender.people(
            1, prefix=name, segments=MEMBER, primary_email="one@example.org", updated_at=f"2026-01-0{day}T00:00:00Z"
        )
    sender.people(
        1, prefix="silent", segments=MEMBER, primary_email="one@example.org", updated_at="2026-02-01", consent=None
    )
    sender.event()
    frozen(sender)
    assert decisions(sender) == {
        "old0000": "duplicate",
        "mid0000": "duplicate",
        "new0000": "included",
        "twin0000": "duplicate",
        "silent0000": "no_consent",
    }


def test_a_delivery_is_reserved_for_each_person_who_is_included(sender: Sender) -> None:
    sender.people(2, segments=MEMBER)
    sender.event()
    frozen(sender)
    rows = sender.rows(
        "SELECT d.profile_id, d.state::text, d.channel, d.step, d.address_hash = a.address_hash, d.due_at <= now(),"
        " d.time_zone, d.message_key = campaigns.message_key(ops.salt_of('acme'), 'spring', d.profile_id, 'email', 1)"
        " FROM campaigns.delivery_log AS d JOIN campaigns.address_of AS a USING (tenant_id, profile_id) ORDER BY 1"
    )
    assert rows == [(profile_id, "reserved", "email", 1, True, True, "UTC", True) for profile_id in ("p0000", "p0001")]
    keys = sender.rows("SELECT message_key FROM campaigns.delivery_log")
    assert len(set(keys)) == 2
    assert all("p000" not in key and len(key) == 40 for (key,) in keys)


def test_an_audience_is_frozen_once_whatever_changes_later(sender: Sender) -> None:
    sender.people(2, segments=MEMBER)
    sender.event()
    first = frozen(sender)
    sender.people(1, prefix="late", segments=MEMBER)
    sender.rows("UPDATE customers.cdp_profiles SET segments = '[]' WHERE profile_id = 'p0000'")
    sender.rows(
        "INSERT INTO campaigns.message_template"
        " (tenant_id, template, version, channel_kind, state, content_hash, approved_at)"
        " VALUES ('acme', 'hello', 2, 'email', 'approved', '', now())"
    )
    sender.rows(
        "INSERT INTO campaigns.segment (tenant_id, segment_id, version, name, kind, origin, content_hash)"
        " VALUES ('acme', 'all', 2, 'Everybody', 'membership', 'cdp', 'x')"
    )
    assert frozen(sender) == first == Snapshot(2, 2, {})
    assert decisions(sender) == {"p0000": "included", "p0001": "included"}
    assert sender.rows("SELECT segment_version, template_version, people FROM campaigns.segment_snapshot") == [
        (1, 1, 2)
    ]


def test_an_audience_of_nobody_is_frozen_too(sender: Sender) -> None:
    sender.event()
    assert frozen(sender) == frozen(sender) == Snapshot(0, 0, {})
    assert sender.rows("SELECT people FROM campaigns.segment_snapshot") == [(0,)]


def test_two_who_freeze_at_once_freeze_one_audience(sender: Sender, warehouse: Warehouse) -> None:
    sender.people(300, segments=MEMBER)
    sender.event()
    prepared(sender)
    with tenant_transaction(sender.connection, "acme"):
        event = events.get(sender.connection, "acme", "spring")
    found: list[Snapshot] = []

    def freeze() -> None:
        with connect(warehouse.settings) as connection:
            found.append(audience.freeze(connection, sender.tenant, event, EMAIL))

    threads = [threading.Thread(target=freeze) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [Snapshot(300, 300, {})] * 4
    assert sender.states() == {"reserved": 300}


def test_who_is_held_out_gets_nothing_of_the_event_or_of_all(sender: Sender) -> None:
    sender.people(400, segments=MEMBER)
    sender.event("one", holdout_share=0.3)
    sender.event("two", holdout_share=0.3)
    for event_id in ("one", "two"):
        frozen(sender, event_id, holdout_share=0.2)
    held = {event: {p for p, told in decisions(sender, event).items() if told == "holdout"} for event in ("one", "two")}
    # 1 - 0.8 * 0.7 of 400, within four standard errors.
    assert all(136 <= len(people) <= 216 for people in held.values())
    both = held["one"] & held["two"]
    # Those of all events, and by chance of both.
    assert 40 <= len(both) < len(held["one"])
    shares = sender.rows(
        "SELECT DISTINCT holdout_share::float, global_holdout_share::float FROM campaigns.segment_snapshot"
    )
    assert shares == [(0.3, 0.2)]
    sender.event("three")
    frozen(sender, "three", holdout_share=0.2)
    assert {p for p, told in decisions(sender, "three").items() if told == "holdout"} <= both


def test_quiet_hours_put_off_and_exclude_only_what_would_come_after_the_end(sender: Sender) -> None:
    night = datetime(2026, 6, 1, 23, tzinfo=UTC)
    sender.people(2, segments=MEMBER)
    quiet = {"quiet_from": "22:00", "quiet_until": "07:00"}
    sender.event("long", start_at=night, end_at=night + timedelta(hours=8))
    sender.event("short", start_at=night, end_at=night + timedelta(hours=7, minutes=59))
    assert frozen(sender, "long", now=night, **quiet) == Snapshot(2, 2, {})
    assert sender.rows("SELECT DISTINCT due_at FROM campaigns.delivery_log WHERE event_id = 'long'") == [
        (datetime(2026, 6, 2, 7, tzinfo=UTC),)
    ]
    assert frozen(sender, "short", now=night, **quiet) == Snapshot(2, 0, {"too_late": 2})


def test_local_time_is_the_clock_time_where_each_person_is(sender: Sender) -> None:
    nine = datetime(2026, 6, 1, 9, tzinfo=UTC)
    sender.people(1, prefix="hanoi", segments=MEMBER, primary_phone="+84901234567")
    sender.people(1, prefix="london", segments=MEMBER, living_country="United Kingdom")
    sender.people(1, prefix="home", segments=MEMBER)
    sender.event(start_at=nine, end_at=nine + timedelta(days=1), local_time=True)
    frozen(sender, now=nine - timedelta(hours=14), time_zone="America/New_York")
    rows = sender.rows(
        "SELECT d.profile_id, d.due_at, m.time_zone, m.time_zone_source FROM campaigns.delivery_log AS d"
        " JOIN campaigns.segment_snapshot_member AS m ON m.snapshot_id = d.event_id AND m.profile_id = d.profile_id"
    )
    assert {row[0]: row[1:] for row in rows} == {
        "hanoi0000": (nine - timedelta(hours=7), "Asia/Ho_Chi_Minh", "phone"),
        "london0000": (nine - timedelta(hours=1), "Europe/London", "country"),
        "home0000": (nine + timedelta(hours=4), "America/New_York", "tenant"),
    }


def test_where_the_local_hour_passed_longer_ago_than_the_grace_it_is_too_late(sender: Sender) -> None:
    nine = datetime(2026, 6, 1, 9, tzinfo=UTC)
    sender.people(1, prefix="hanoi", segments=MEMBER, primary_phone="+84901234567")
    sender.people(1, prefix="home", segments=MEMBER)
    sender.event(start_at=nine, end_at=nine + timedelta(days=1), local_time=True)
    frozen(sender, now=nine - timedelta(hours=5))
    assert decisions(sender) == {"hanoi0000": "too_late", "home0000": "included"}


def test_the_night_in_which_the_clock_changes_ends_when_the_clock_says_so(sender: Sender) -> None:
    sender.people(1, segments=MEMBER, living_country="Germany")
    quiet = {"quiet_from": "22:00", "quiet_until": "07:00"}
    for event_id, at, ends in (("spring", "2026-03-28T23:30+00:00", 5), ("autumn", "2026-10-24T23:30+00:00", 6)):
        night = datetime.fromisoformat(at)
        sender.event(event_id, start_at=night, end_at=night + timedelta(days=1))
        frozen(sender, event_id, now=night, **quiet)
        ((due_at,),) = sender.rows("SELECT due_at FROM campaigns.delivery_log WHERE event_id = %s", [event_id])
        assert due_at == (night + timedelta(days=1)).replace(hour=ends, minute=0)


def test_a_template_without_an_approved_version_freezes_nothing(sender: Sender) -> None:
    sender.people(1, segments=MEMBER)
    sender.event(template="draft")
    with pytest.raises(QueryError, match="no approved version"):
        frozen(sender)
    assert sender.rows("SELECT 1 FROM campaigns.segment_snapshot") == []


def test_a_killed_freeze_leaves_nothing_or_the_whole_audience(sender: Sender, warehouse: Warehouse) -> None:
    sender.people(5, segments=MEMBER)
    sender.people(5, prefix="silent", segments=MEMBER, consent=None)
    prepared(sender)
    numbers = itertools.count()

    def freeze(event_id: str) -> None:
        with connect(warehouse.settings) as connection:
            with tenant_transaction(connection, "acme"):
                event = events.get(connection, "acme", event_id)
            audience.freeze(connection, sender.tenant, event, EMAIL)

    whole = {"reserved": 5, "excluded no_consent": 5}
    states = []
    for _, event_id in crashes.after_every_write(freeze, lambda: sender.event(f"event-{next(numbers)}")):
        states.append(sender.states(event_id))
        freeze(event_id)
        assert sender.states(event_id) == whole
    assert all(state in ({}, whole) for state in states)
    # Once it was killed before the commit, and once after it.
    assert {} in states
    assert whole in states


def test_tenants_with_the_same_people_keep_audiences_of_their_own(new_sender: Callable[[str], Sender]) -> None:
    acme, other = new_sender("acme"), new_sender("other")
    for each, consent in ((acme, "email"), (other, None)):
        each.people(2, segments=MEMBER, consent=consent)
        each.event()
    assert frozen(acme) == Snapshot(2, 2, {})
    assert frozen(other) == Snapshot(2, 0, {"no_consent": 2})
    keys = {sender.tenant_id: sender.rows("SELECT message_key FROM campaigns.delivery_log") for sender in (acme, other)}
    assert len(keys["acme"]) == 2
    assert keys["other"] == []


def test_ids_made_of_sql_and_signs_are_people_like_others(sender: Sender) -> None:
    ids = ["'; DROP TABLE campaigns.delivery_log; --", "100%s", "%(tenant)s", "\\x00", "Ω" * 300, "{people}"]
    sender.profiles(
        *(
            {"profile_id": each, "primary_email": f"p{place}@example.org", "segments": MEMBER}
            for place, each in enumerate(ids)
        )
    )
    sender.consent(ids)
    sender.event()
    assert frozen(sender) == Snapshot(6, 6, {})
    assert set(decisions(sender)) == set(ids)


def test_the_settings_of_a_tenant_that_are_not_usable_freeze_nothing(sender: Sender, app: psycopg.Connection) -> None:
    sender.event()
    prepared(sender)
    broken = replace(sender.tenant, stored_settings={"cap_messages": 0})
    with tenant_transaction(app, "acme"):
        event = events.get(app, "acme", "spring")
    with pytest.raises(ConfigurationError, match="cap_messages"):
        audience.freeze(app, broken, event, EMAIL)
    assert sender.rows("SELECT 1 FROM campaigns.segment_snapshot") == []
