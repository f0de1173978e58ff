"""No layout of a moment hides a change from an incremental sync, in the order in which ArangoDB compares."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdp_platform.customers import updated_at
from cdp_platform.moments import moment
from cdp_sandbox.arango.aql.values import compare

SINCE = datetime(2026, 6, 1, 9, 55, tzinfo=UTC)
# Also the first and the last hours of a year, a month and a day.
EDGES = [
    datetime(2026, 12, 31, 23, 50, tzinfo=UTC),
    datetime(2027, 1, 1, 0, 5, tzinfo=UTC),
    datetime(2027, 1, 1, 12, 0, tzinfo=UTC),
    datetime(2026, 3, 1, 0, 0, tzinfo=UTC),
    datetime(2024, 2, 29, 11, 59, tzinfo=UTC),
]
sinces = st.sampled_from([SINCE, *EDGES]) | st.datetimes(
    datetime(1990, 1, 1),  # noqa: DTZ001
    datetime(2080, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def layouts(at: datetime, offset: timedelta, decimals: str) -> dict[str, Any]:
    """A moment in every layout that is read as one, with digits behind its second."""
    local = at.astimezone(timezone(offset))
    zone, second = f"{local:%z}", int(at.timestamp())
    colon = f"{zone[:3]}:{zone[3:]}"
    fraction = f".{decimals}" if decimals else ""
    nanoseconds = int(decimals.ljust(9, "0"))
    return {
        "LEO CDP": f"{at:%Y-%m-%dT%H:%M:%S}{fraction}Z",
        "no zone": f"{at:%Y-%m-%dT%H:%M:%S}{fraction}",
        "space": f"{at:%Y-%m-%d %H:%M:%S}{fraction}",
        "space and Z": f"{at:%Y-%m-%d %H:%M:%S}{fraction}Z",
        "comma": f"{at:%Y-%m-%dT%H:%M:%S},{decimals or 0}Z",
        "lower case": f"{at:%Y-%m-%dt%H:%M:%S}{fraction}z",
        "minutes": f"{at:%Y-%m-%dT%H:%MZ}",
        "minutes and space": f"{at:%Y-%m-%d %H:%M}",
        "hours": f"{at:%Y-%m-%dT%H}",
        "hours and space": f"{at:%Y-%m-%d %H}",
        "zero offset": f"{at:%Y-%m-%dT%H:%M:%S}{fraction}+00:00",
        "offset": f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{colon}",
        "short offset": f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{zone}",
        "space and offset": f"{local:%Y-%m-%d %H:%M:%S}{fraction}{colon}",
        "basic": f"{at:%Y%m%dT%H%M%S}{fraction}Z",
        "basic without zone": f"{at:%Y%m%dT%H%M%S}",
        "basic and offset": f"{local:%Y%m%dT%H%M%S}{fraction}{zone}",
        "basic day": f"{local:%Y%m%d}",
        "day": f"{local:%Y-%m-%d}",
        "seconds": second,
        "seconds as a float": float(f"{second}{fraction}"),
        "milliseconds": second * 1000 + nanoseconds // 10**6,
        "microseconds": second * 10**6 + nanoseconds // 1000,
        "nanoseconds": second * 10**9 + nanoseconds,
    }


def like(value: Any, pattern: str | None) -> bool:
    """LIKE with the one pattern that there is: a hyphen behind the tenth character."""
    if pattern is None:
        return True
    assert pattern == "__________%-%"
    return "-" in str(value)[10:]


def finders(value: Any, since: datetime, now: datetime) -> list[str]:
    """Which of the queries find a value."""
    found = [
        "scattered"
        for each in updated_at.scattered(since, now)
        if compare(value, each["begin"]) >= 0 and compare(value, each["end"]) < 0 and like(value, each["pattern"])
    ]
    found += [
        "in order"
        for begin, end in updated_at.in_order(since)
        if compare(value, begin) >= 0 and (end is None or compare(value, end) < 0)
    ]
    return found


@settings(deadline=None)
@given(
    sinces,
    st.timedeltas(timedelta(0), timedelta(days=800)) | st.timedeltas(timedelta(0), timedelta(minutes=30)),
    st.integers(-12 * 4, 14 * 4).map(lambda quarters: timedelta(minutes=15 * quarters)),
    st.text("0123456789", max_size=9),
)
@example(SINCE, timedelta(minutes=5), timedelta(hours=-5), "")
@example(datetime(2027, 1, 1, 0, 5, tzinfo=UTC), timedelta(0), timedelta(hours=-12), "5")
@example(datetime(2026, 12, 31, 23, 50, tzinfo=UTC), timedelta(minutes=20), timedelta(hours=14), "")
def test_what_changed_since_is_found_in_every_layout(since, later, offset, decimals):
    at = since + later
    unseen = [name for name, value in layouts(at, offset, decimals).items() if not finders(value, since, at)]
    assert unseen == []


@settings(deadline=None)
@given(
    sinces, st.integers(-12 * 4, 14 * 4).map(lambda quarters: timedelta(minutes=15 * quarters)), st.integers(2, 4000)
)
def test_what_is_older_by_two_days_is_not_read_again(since, offset, days):
    at = since - timedelta(days=days)
    again = {name for name, value in layouts(at, offset, "123").items() if finders(value, since, since)}
    assert again == set()


@settings(deadline=None)
@given(sinces, st.integers(2, 720))
def test_in_the_layout_of_leo_cdp_only_the_last_minute_is_read_again(since, minutes):
    written = layouts(since - timedelta(minutes=minutes), timedelta(0), "123")
    assert not [name for name in ("LEO CDP", "no zone", "space", "seconds") if finders(written[name], since, since)]


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 12345, -1e308, "", " ", "yesterday", "n/a",
        "0000-00-00 00:00:00", "0001-01-01T00:00:00Z",
        "1780308000", "1780308000000", "01.06.2026 10:00", "06/01/2026", "19.06.2026", "20.06.2026", "20 Jun 2026",
        "31-05-2026", "2026/06/01 10:00", "2026.06.01", "2026 Jun 1", "2026-6-1 10:00", "Mon Jun 01 2026",
        "20260601100000",
        [], ["2026-06-01"], {}, {"$date": 1780308000000},
    ],
)  # fmt: skip
def test_a_value_that_is_no_moment_is_read_every_time(value):
    assert finders(value, SINCE, SINCE)
    assert updated_at.usable(value) is None


@settings(deadline=None)
@given(sinces, st.timedeltas(timedelta(0), timedelta(days=800)), st.text("0123456789", max_size=9))
def test_every_layout_is_found_once_so_nothing_is_read_twice(since, later, decimals):
    at = since + later
    written = layouts(at, timedelta(hours=-5), decimals)
    # Behind the end of the year, what is in the first query may be in the second too.
    most = 1 if at.year == (since - timedelta(hours=12)).year else 2
    times = {name: len(finders(value, since, at)) for name, value in written.items()}
    assert {name: number for name, number in times.items() if not 1 <= number <= most} == {}


def test_every_layout_in_these_tests_is_a_moment():
    for name, value in layouts(SINCE, timedelta(hours=7), "123456789").items():
        found = moment(value)
        assert found is not None, name
        assert abs(found - SINCE) < timedelta(days=1), name


@pytest.mark.parametrize(
    ("at", "written"),
    [
        (datetime(2026, 6, 1, 10, tzinfo=UTC), "2026-06-01T10:00:00.000Z"),
        (datetime(2026, 6, 1, 10, microsecond=5000, tzinfo=UTC), "2026-06-01T10:00:00.005Z"),
        (datetime(2026, 6, 1, 10, microsecond=5001, tzinfo=UTC), "2026-06-01T10:00:00.005001Z"),
    ],
)
def test_a_stamp_keeps_the_whole_moment(at, written):
    assert updated_at.stamp(at) == written
    assert updated_at.usable(written) == at


@pytest.mark.parametrize("zero", ["0001-01-01T00:00:00Z", "1900-01-01 00:00:00", "1970-01-01T00:00:00.000Z", 0])
def test_the_zero_of_a_clock_tells_nothing(zero):
    assert updated_at.usable(zero) is None
