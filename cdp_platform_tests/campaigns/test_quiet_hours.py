"""Quiet hours and local time by the clock of a zone, over its changes."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# With clock changes at different hours, in both directions, of half an hour, at midnight, and none.
_ZONES = (
    "Asia/Ho_Chi_Minh",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "UTC",
)
_NIGHT = (time(22), time(7))


def _next_allowed(app: psycopg.Connection, moment: datetime, zone: str, quiet: tuple[time, time]) -> datetime:
    row = app.execute("SELECT campaigns.next_allowed(%s, %s, %s, %s)", [moment, zone, *quiet]).fetchone()
    assert row
    return row[0]


def _is_quiet(clock: time, quiet: tuple[time, time]) -> bool:
    begin, end = quiet
    return begin <= clock < end if begin <= end else clock >= begin or clock < end


@pytest.mark.parametrize(
    ("moment", "allowed"),
    [
        ("2026-06-01T21:59", "2026-06-01T21:59"),
        ("2026-06-01T22:00", "2026-06-02T07:00"),
        ("2026-06-02T06:59", "2026-06-02T07:00"),
        ("2026-06-02T07:00", "2026-06-02T07:00"),
        # The night in which the clock goes forward, and the one in which it goes back.
        ("2026-03-28T22:30", "2026-03-29T07:00"),
        ("2026-10-24T22:30", "2026-10-25T07:00"),
    ],
)
def test_quiet_hours_end_at_the_clock_time_of_the_zone(app: psycopg.Connection, moment: str, allowed: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    local = datetime.fromisoformat(moment).replace(tzinfo=zone)
    assert _next_allowed(app, local, "Europe/Berlin", _NIGHT) == datetime.fromisoformat(allowed).replace(tzinfo=zone)


def test_an_end_that_the_clock_leaves_out_is_as_long_after_the_change(app: psycopg.Connection) -> None:
    # On 29 March 2026 no clock in Berlin shows 02:30.
    midnight = datetime(2026, 3, 29, 0, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    allowed = _next_allowed(app, midnight, "Europe/Berlin", (time(0), time(2, 30)))
    assert allowed == datetime(2026, 3, 29, 3, 30, tzinfo=ZoneInfo("Europe/Berlin"))


def test_an_end_that_comes_twice_is_the_second(app: psycopg.Connection) -> None:
    # On 25 October 2026 clocks in Berlin show 02:30 twice.
    midnight = datetime(2026, 10, 25, 0, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    allowed = _next_allowed(app, midnight, "Europe/Berlin", (time(0), time(2, 30)))
    assert allowed == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_without_quiet_hours_every_moment_is_allowed(app: psycopg.Connection) -> None:
    moment = datetime(2026, 6, 1, 3, tzinfo=UTC)
    assert _next_allowed(app, moment, "UTC", (time(5), time(5))) == moment


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moment=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    zone=st.sampled_from(_ZONES),
    begin=st.times().map(lambda at: at.replace(microsecond=0)),
    end=st.times().map(lambda at: at.replace(microsecond=0)),
)
def test_what_is_allowed_is_never_quiet_and_waits_no_longer_than_it_must(
    app: psycopg.Connection, moment: datetime, zone: str, begin: time, end: time
) -> None:
    quiet = (begin, end)
    allowed = _next_allowed(app, moment, zone, quiet)
    clock = allowed.astimezone(ZoneInfo(zone)).time()
    assert allowed >= moment
    if not _is_quiet(moment.astimezone(ZoneInfo(zone)).time(), quiet):
        assert allowed == moment
        return
    # An end within the hour that the clock leaves out can end in quiet hours that begin in that same hour.
    assert not _is_quiet(clock, quiet) or timedelta(hours=-1) <= _apart(begin, end) <= timedelta(hours=1)
    # Minute by minute, nothing before it was allowed, but the first of two times that clocks show twice.
    step = moment
    while step < allowed - timedelta(minutes=61):
        assert _is_quiet(step.astimezone(ZoneInfo(zone)).time(), quiet)
        step += timedelta(minutes=7)


def _apart(begin: time, end: time) -> timedelta:
    day = datetime(2026, 1, 1, tzinfo=UTC).date()
    return datetime.combine(day, begin, UTC) - datetime.combine(day, end, UTC)


@pytest.mark.parametrize("zone", _ZONES)
def test_local_time_is_the_clock_time_of_the_event_wherever_it_is(app: psycopg.Connection, zone: str) -> None:
    start_at = datetime(2026, 6, 1, 9, 30, tzinfo=UTC)
    row = app.execute("SELECT campaigns.local_start(%s, %s)", [start_at, zone]).fetchone()
    assert row
    assert row[0].astimezone(ZoneInfo(zone)).replace(tzinfo=None) == start_at.replace(tzinfo=None)
