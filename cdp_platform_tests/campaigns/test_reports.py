"""Reports in JSON: each item is read by itself, and what is wrong with one is said without its values."""

from datetime import UTC, datetime

import orjson
import pytest

from cdp_platform.campaigns import reports
from cdp_platform.campaigns.reports import Report
from cdp_platform.errors import QueryError

GOOD = {"id": "1", "key": "k", "kind": "bounced", "code": "5.1.1", "at": "2026-06-01T08:00:00Z"}
AT = datetime(2026, 6, 1, 8, tzinfo=UTC)


def read(*items: object):
    return reports.from_json(orjson.dumps(list(items)))


def test_a_report_says_which_message_and_what_happened():
    assert read(GOOD) == ([Report("1", "k", "bounced", "5.1.1", AT)], [])


@pytest.mark.parametrize(
    ("change", "code", "at"),
    [
        ({"code": None}, "", AT),
        ({"code": "550 5.1.1 <nobody@example.org> unknown"}, "5.1.1", AT),
        ({"code": "mailbox full"}, "", AT),
        ({"at": 1_780_300_800}, "5.1.1", AT),
        ({"at": "2026-06-01T15:00:00+07:00"}, "5.1.1", AT),
        ({"more": {"than": "asked"}}, "5.1.1", AT),
    ],
)
def test_providers_write_codes_and_moments_in_their_ways(change: dict, code: str, at: datetime):
    assert read({**GOOD, **change}) == ([Report("1", "k", "bounced", code, at)], [])


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ("x", "it is no object"),
        ({**GOOD, "id": ""}, "id is no text"),
        ({**GOOD, "id": 7}, "id is no text"),
        ({**GOOD, "key": None}, "key is no text"),
        ({**GOOD, "key": "nul\0"}, "key is no text"),
        ({**GOOD, "key": "k" * 1000}, "key is no text"),
        ({**GOOD, "kind": "opened"}, "kind is none of delivered, bounced, complained, opted_out"),
        ({**GOOD, "kind": ["bounced"]}, "kind is none of"),
        ({**GOOD, "code": 550}, "code is no text"),
        ({**GOOD, "at": "yesterday"}, "at is no moment"),
        ({key: value for key, value in GOOD.items() if key != "at"}, "at is no moment"),
    ],
)
def test_a_wrong_item_costs_no_other_one(item: object, problem: str):
    found, unreadable = read(GOOD, item, {**GOOD, "id": "3"})
    assert [report.report_id for report in found] == ["1", "3"]
    assert [each.place for each in unreadable] == [1]
    assert unreadable[0].problem.startswith(problem)


@pytest.mark.parametrize("body", [b"", b"{}", b"nonsense", b'"x"', b"\xff", b'["\\ud800"]', b"[" * 100_000])
def test_a_body_that_is_no_list_is_refused(body: bytes):
    with pytest.raises(QueryError, match="Send a list of reports"):
        reports.from_json(body)
