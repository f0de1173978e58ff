"""The forecast: the coming events, with what the earlier ones send counted."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cdp_platform.campaigns import forecast
from cdp_platform.campaigns.forecast import Planned
from cdp_platform_tests.campaigns.audiences import EMAIL, MEMBER, frozen, prepared, with_settings
from cdp_platform_tests.campaigns.sender import Sender

_NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def _event(sender: Sender, event_id: str, *, hours: float = 0, **columns: Any) -> None:
    start_at = _NOON + timedelta(hours=hours)
    sender.event(event_id, **{"start_at": start_at, "end_at": start_at + timedelta(days=1)} | columns)


def _planned(sender: Sender, channel: Any = EMAIL, **own: Any) -> dict[str, Planned]:
    prepared(sender)
    tenant = with_settings(sender, **own)
    found = forecast.plan(sender.connection, tenant, {"email": channel}, now=_NOON)
    return {each.event.event_id: each for each in found}


def test_each_event_says_who_gets_it_and_why_others_do_not(sender: Sender) -> None:
    sender.people(3, segments=MEMBER)
    sender.people(2, prefix="silent", segments=MEMBER, consent=None)
    _event(sender, "spring")
    (planned,) = _planned(sender).values()
    assert (planned.people, planned.sent, planned.by_reason) == (5, 3, {"no_consent": 2})
    assert (planned.first_at, planned.last_at, planned.in_time) == (_NOON, _NOON, True)


def test_earlier_events_cap_later_ones_and_are_named(sender: Sender) -> None:
    sender.people(4, segments=MEMBER)
    _event(sender, "one", hours=1)
    _event(sender, "two", hours=2)
    _event(sender, "three", hours=3)
    _event(sender, "next-week", hours=40)
    planned = _planned(sender, cap_messages=2)
    assert list(planned) == ["one", "two", "three", "next-week"]
    assert [each.sent for each in planned.values()] == [4, 4, 0, 4]
    assert planned["three"].by_reason == {"capped": 4}
    assert planned["three"].capped_by == {"one": 4, "two": 4}
    assert planned["next-week"].capped_by == {}


def test_a_forecast_is_what_the_freeze_decides_and_writes_nothing(sender: Sender) -> None:
    sender.people(40, segments=MEMBER)
    sender.people(3, prefix="same", segments=MEMBER, primary_email="same@example.org")
    sender.people(3, prefix="mute", segments=MEMBER, primary_email=None)
    _event(sender, "spring", holdout_share=0.3)
    planned = _planned(sender)["spring"]
    assert sender.rows("SELECT 1 FROM campaigns.segment_snapshot") == []
    assert sender.rows("SELECT 1 FROM campaigns.delivery_log") == []
    snapshot = frozen(sender, now=_NOON)
    assert (planned.people, planned.sent, planned.by_reason) == (
        snapshot.people,
        snapshot.included,
        snapshot.by_reason,
    )
    assert set(snapshot.by_reason) == {"duplicate", "no_address", "holdout"}


def test_of_an_event_that_runs_those_are_told_who_still_wait(sender: Sender) -> None:
    ids = sender.people(4, segments=MEMBER)
    _event(sender, "spring")
    frozen(sender, now=_NOON)
    sender.rows("UPDATE campaigns.marketing_event SET status = 'running'")
    sender.rows("UPDATE campaigns.delivery_log SET state = 'handed_over' WHERE profile_id = %s", [ids[0]])
    sender.consent([ids[1]], "withdrawn")
    planned = _planned(sender)["spring"]
    assert (planned.people, planned.sent, planned.by_reason) == (3, 2, {"no_consent": 1})


@pytest.mark.parametrize(("event_rate", "channel_rate"), [(6, None), (None, 6), (6, 100), (60, 6)])
def test_the_last_message_goes_when_the_slower_rate_lets_it(
    sender: Sender, event_rate: int | None, channel_rate: int | None
) -> None:
    sender.people(13, segments=MEMBER)
    _event(sender, "spring", rate_per_minute=event_rate)
    channel = SimpleNamespace(name="email", to="email", kind="email", per_minute=channel_rate, per_day=None)
    planned = _planned(sender, channel)["spring"]
    assert planned.first_at == _NOON
    assert planned.last_at == _NOON + timedelta(minutes=2)


def test_events_of_one_channel_stand_in_one_queue(sender: Sender) -> None:
    sender.people(6, segments=MEMBER)
    for event_id in ("one", "two"):
        _event(sender, event_id)
    channel = SimpleNamespace(name="email", to="email", kind="email", per_minute=6, per_day=None)
    planned = _planned(sender, channel)
    assert planned["one"].last_at == _NOON + timedelta(seconds=50)
    assert planned["two"].last_at == _NOON + timedelta(seconds=110)


def test_what_a_day_does_not_take_goes_the_next_day(sender: Sender) -> None:
    sender.people(5, segments=MEMBER)
    _event(sender, "spring", end_at=_NOON + timedelta(days=3))
    channel = SimpleNamespace(name="email", to="email", kind="email", per_minute=None, per_day=2)
    assert _planned(sender, channel)["spring"].last_at == _NOON + timedelta(days=2)


def test_what_comes_into_quiet_hours_waits_for_their_end_and_may_be_late(sender: Sender) -> None:
    sender.people(10, segments=MEMBER)
    slow = SimpleNamespace(name="email", to="email", kind="email", per_minute=None, per_day=None)
    _event(sender, "slow", hours=8, end_at=_NOON + timedelta(hours=22, minutes=59))
    sender.rows("UPDATE campaigns.marketing_event SET rate_per_minute = 1")
    planned = _planned(sender, slow, quiet_from="20:05", quiet_until="07:00")["slow"]
    # 20:00 to 20:04, and the other five at 7:00 to 7:04.
    assert (planned.sent, planned.in_time) == (10, True)
    assert planned.last_at == _NOON + timedelta(hours=19, minutes=4)
    sender.rows("UPDATE campaigns.marketing_event SET end_at = %s", [_NOON + timedelta(hours=19, minutes=2)])
    planned = _planned(sender, slow, quiet_from="20:05", quiet_until="07:00")["slow"]
    assert (planned.sent, planned.by_reason, planned.in_time) == (8, {"too_late": 2}, False)


def test_an_event_that_cannot_be_resolved_says_why_and_the_others_are_told(sender: Sender) -> None:
    sender.people(1, segments=MEMBER)
    _event(sender, "broken", segment_id="gone")
    _event(sender, "lost", channel="fax")
    _event(sender, "spring")
    planned = _planned(sender)
    assert "gone" in planned["broken"].problem
    assert "fax" in planned["lost"].problem
    assert not planned["lost"].in_time
    assert planned["spring"].sent == 1


def test_events_that_are_over_or_far_away_are_in_no_forecast(sender: Sender) -> None:
    _event(sender, "far", hours=24 * 8)
    _event(sender, "cancelled")
    sender.rows("UPDATE campaigns.marketing_event SET status = 'cancelled' WHERE event_id = 'cancelled'")
    assert _planned(sender) == {}
