from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from cdp_platform.resources import outside
from cdp_platform.resources.outside import Verdict, verdict


@pytest.mark.parametrize(
    ("status", "means"),
    [
        *((status, Verdict.GIVE_UP) for status in (300, 304, 401, 402, 403, 404, 405, 407, 410, 451)),
        *((status, Verdict.REFUSED) for status in (400, 413, 422)),
        *((status, Verdict.UNKNOWN) for status in (408, 409, 500, 501, 502, 503, 504, 529, 599)),
        (425, Verdict.RETRY),
        (429, Verdict.WAIT),
    ],
)
def test_a_status_means_the_same_to_every_client(status: int, means: Verdict):
    assert verdict(status) is means
    assert verdict(status).passes == (status in {408, 409, 425, 429} or status >= 500)


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
    assert outside.retry_after_seconds(value) == seconds


def test_a_date_is_so_many_seconds_away():
    at = datetime.now(UTC) + timedelta(minutes=2)
    for value in (format_datetime(at, usegmt=True), format_datetime(at)):
        found = outside.retry_after_seconds(value)
        assert found is not None
        assert 100 < found <= 120


def test_what_was_sent_is_not_in_the_words_of_an_error() -> None:
    said = "Invalid input 'Ann Lee,\nHanoi' for Ann Lee, of no.\n"
    assert (
        outside.without_quotes(said, ["Ann Lee", "Ann Lee,\nHanoi", "no"]) == "Invalid input '(text)' for (text), of no"
    )
    assert len(outside.without_quotes("word " * 1_000, ())) <= 500
