from datetime import UTC, datetime

import pytest

from cdp_sandbox.arango.clock import HybridClock, decode_revision, encode_revision


@pytest.mark.parametrize(
    ("revision", "moment", "counter"),
    [
        ("_YU0HOEG---", datetime(2019, 3, 11, 16, 15, 5, 314000, UTC), 0),
        ("_jt3aRb----", datetime(2025, 5, 23, 18, 16, 24, 272000, UTC), 0),
    ],
)
def test_a_revision_is_read_as_a_real_server_made_it(revision: str, moment: datetime, counter: int) -> None:
    reading = decode_revision(revision)
    assert datetime.fromtimestamp((reading >> 20) / 1000, UTC) == moment
    assert reading & (2**20 - 1) == counter
    assert encode_revision(reading) == revision


def test_a_clock_goes_only_forward_even_when_it_starts_in_the_future() -> None:
    start = HybridClock().next() + (10**9 << 20)
    readings = [(clock := HybridClock(start)).next(), clock.next(), clock.next()]
    assert readings == [start + 1, start + 2, start + 3]


def test_ten_thousand_readings_have_ten_thousand_revisions() -> None:
    clock = HybridClock()
    assert len({encode_revision(clock.next()) for _ in range(10_000)}) == 10_000
