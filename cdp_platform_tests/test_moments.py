"""One moment is one moment, however it is written."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp_platform import moments


def moment(value: object) -> datetime:
    """The moment of a value that says one."""
    found = moments.moment(value)
    assert found is not None
    return found


TEN = datetime(2026, 6, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2026-06-01T10:00:00Z",
        "2026-06-01T10:00:00",
        "2026-06-01 10:00:00",
        "2026-06-01 10:00",
        "2026-06-01t10:00:00z",
        "2026-06-01T10:00:00.0Z",
        "2026-06-01T10:00:00.000000000Z",
        "2026-06-01T10:00:00,000Z",
        "2026-06-01T10:00:00+00:00",
        "2026-06-01T17:00:00+07:00",
        "2026-06-01 17:00:00+0700",
        "2026-06-02T00:00:00+14",
        "2026-05-31T22:00:00-12:00",
        "20260601T100000Z",
        "20260601T170000+0700",
        1780308000,
        1780308000.0,
        1780308000000,
        1780308000000000,
        1780308000000000000,
    ],
)
def test_a_moment_is_the_same_in_every_layout(written):
    found = moment(written)
    assert found == TEN
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("written", "microseconds"),
    [
        ("2026-06-01T10:00:00.1Z", 100_000),
        ("2026-06-01T10:00:00.123456789Z", 123_456),
        ("2026-06-01T10:00:00.999999999Z", 999_999),
        (1780308000.123, 123_000),
        (1780308000123, 123_000),
        (1780308000123456, 123_456),
        (1780308000999999999, 999_999),
    ],
)
def test_a_moment_is_kept_to_the_microsecond(written, microseconds):
    assert moment(written) == TEN + timedelta(microseconds=microseconds)


@pytest.mark.parametrize("written", ["2026-06-01", "20260601"])
def test_a_day_is_its_first_moment(written):
    assert moment(written) == datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "", "yesterday", "2026-02-30", "2026-06-01T25:00:00Z", "2026-06-01T", "2026-06-01_10:00", "2026-06-01X10:00",
        "2026-W23-1", "2026-W23-1T10:00:00Z", "01/06/2026", "20260601100000", "1780308000", "1780308000000",
        # As a basic date with a time behind any character, this would be a day of 1712.
        "1712031120456",
        "2026-06-01T10:00:00Z ", "\u0662\u0660\u0662\u0666-06-01", "0001-01-01T00:00:00+07:00",
        None, True, False, [], {}, [1780308000], {"$date": 1780308000000},
        0, -0.0, 1, -1, -1780308000, 99_999_999, 5_000_000_000, 10**13, 2**53, 2**63, 10**400,
        float("nan"), float("inf"), float("-inf"), 1e308,
    ],
)  # fmt: skip
def test_what_is_no_moment_is_none(written):
    assert moments.moment(written) is None


@given(
    st.datetimes(datetime(1973, 3, 4), datetime(2099, 12, 30)),  # noqa: DTZ001
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["T", " ", "t"]),
    st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]),
)
def test_any_moment_is_read_as_it_was_written(naive, offset_minutes, separator, precision):
    at = naive.replace(tzinfo=UTC)
    local = at.astimezone(timezone(timedelta(minutes=offset_minutes)))
    written = local.isoformat(separator, precision)
    cut = {"minutes": timedelta(minutes=1), "seconds": timedelta(seconds=1), "milliseconds": timedelta(milliseconds=1)}
    assert timedelta(0) <= at - moment(written) < cut.get(precision, timedelta(microseconds=1))


@given(st.integers(10**8, 4_102_444_799), st.sampled_from([1, 10**3, 10**6, 10**9]), st.data())
def test_the_size_of_a_number_tells_its_unit(second, per_second, data):
    value = second * per_second + data.draw(st.integers(0, per_second - 1))
    found = moment(value)
    assert found.replace(microsecond=0) == datetime.fromtimestamp(second, UTC)
    assert found.microsecond == value % per_second * 10**6 // per_second
