from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from cdp_platform.resources import retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("1.5", 1.5),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("١٢", None),
    ],
)
def test_seconds_and_dates_are_understood_and_nothing_else(value: str | None, seconds: float | None):
    assert retry_after.seconds(value) == seconds


def test_a_date_is_so_many_seconds_away():
    at = datetime.now(UTC) + timedelta(minutes=2)
    for value in (format_datetime(at, usegmt=True), format_datetime(at)):
        found = retry_after.seconds(value)
        assert found is not None
        assert 100 < found <= 120
