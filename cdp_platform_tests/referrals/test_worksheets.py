"""The contents of each worksheet."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import SharedSettings
from cdp_platform.referrals import metrics, worksheets
from cdp_platform.referrals.ledger import ExportLedger
from cdp_platform.referrals.masking import Mask
from cdp_platform.referrals.worksheets import CAMPAIGN_SUMMARY, COLUMNS, OFFICER_SUMMARY, RAW_DATA, TIME_SERIES, Cells
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.referrals.tracker import Tracker

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
HASH = re.compile(r"[0-9a-f]{64}")


def summary(tracker: Tracker, name: str, moment: datetime = NOON, zone: str = "UTC") -> list[list[Any]]:
    tenants.add(tracker.connection, "acme", settings=[SharedSettings(time_zone=zone)])
    tenant = tenants.get(tracker.connection, "acme")
    with tenant_transaction(tracker.connection, "acme"):
        metrics.count_touched(tracker.connection, tenant)
        return worksheets.summary(tracker.connection, tenant, name, moment=moment, cells=Cells())


def raw_data(tracker: Tracker, *, whole_ip: bool = False, cells: Cells | None = None) -> list[list[Any]]:
    ledger = ExportLedger(tracker.connection, "acme", "sheet")
    with tenant_transaction(tracker.connection, "acme"):
        export_id = uuid4()
        ledger.begin(export_id, "")
        count = ledger.reserve(export_id, 0, None)
        found = worksheets.raw_data(
            tracker.connection,
            "acme",
            "sheet",
            range(1, count + 1),
            mask=Mask(b"salt", whole_ip=whole_ip),
            cells=cells or Cells(),
        )
    assert [*found] == [*range(1, count + 1)]
    return [*found.values()]


def days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=1)


def test_the_columns_are_those_that_readers_know():
    assert {
        "Tracker_Raw_Data": (
            "Timestamp EventType ReferralLinkID OfficerID CampaignID CampaignName UserEmailHash IP UserAgent".split()
        ),
        "Officer_Summary": "OfficerID OfficerName TotalClicks TotalSignups ClickToSignupRate".split(),
        "Campaign_Summary": (
            "CampaignID CampaignName StartDate EndDate TotalClicks TotalSignups ClickToSignupRate AverageSignupsPerDay"
        ).split(),
        "Time_Series_Data": "Date TotalClicks TotalSignups ClickToSignupRate".split(),
    } == COLUMNS


def test_every_officer_has_a_row_also_without_events_and_rates_are_weighted(tracker: Tracker):
    tracker.officer("officer-2", full_name="Binh Tran")
    tracker.officer("officer-3", full_name="Anh Do")
    tracker.officer("officer-0", full_name="Anh Do")
    tracker.link("link-2", officer="officer-2")
    tracker.link("link-3", officer="officer-2")
    # One link has 3 clicks and 3 signups, another 1 click and none: 3 of 4, not the mean of 100 and 0.
    for _ in range(3):
        tracker.signup(link="link-2", click=tracker.click(link="link-2"))
    tracker.click(link="link-3")
    assert summary(tracker, OFFICER_SUMMARY) == [
        ["officer-0", "Anh Do", 0, 0, 0],
        ["officer-3", "Anh Do", 0, 0, 0],
        ["officer-2", "Binh Tran", 4, 3, 75.0],
        ["officer-1", "Lan Nguyen", 0, 0, 0],
    ]


def test_a_flagged_event_is_in_the_raw_data_and_in_no_figure(tracker: Tracker):
    tracker.click(fraud_score=9)
    tracker.click(fraud_score=7)
    assert summary(tracker, OFFICER_SUMMARY) == [["officer-1", "Lan Nguyen", 1, 0, 0]]
    assert len(raw_data(tracker)) == 2


def test_an_officer_who_is_renamed_has_the_new_name(tracker: Tracker):
    tracker.click()
    tracker.officer("officer-1", full_name="Lan Tran")
    assert summary(tracker, OFFICER_SUMMARY) == [["officer-1", "Lan Tran", 1, 0, 0]]


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "shown", "signups_a_day"),
    [
        # 1 to 10 March, both counted.
        (datetime(2026, 3, 1, tzinfo=UTC), None, ["2026-03-01", ""], 0.3),
        (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC), ["2026-03-01", "2026-12-31"], 0.3),
        (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC), ["2026-03-01", "2026-03-02"], 1.5),
        # Today only, and not before next week.
        (datetime(2026, 3, 10, 9, tzinfo=UTC), None, ["2026-03-10", ""], 3),
        (datetime(2026, 3, 17, tzinfo=UTC), None, ["2026-03-17", ""], 3),
    ],
)
def test_signups_a_day_are_those_of_the_days_of_a_campaign_so_far(
    tracker: Tracker, starts_at: datetime, ends_at: datetime | None, shown: list[str], signups_a_day: float
):
    tracker.campaign("campaign-1", name="Spring", starts_at=starts_at, ends_at=ends_at)
    for _ in range(3):
        tracker.signup()
    assert summary(tracker, CAMPAIGN_SUMMARY) == [["campaign-1", "Spring", *shown, 0, 3, 0, signups_a_day]]


def test_a_campaign_has_the_dates_of_the_tenants_time_zone(tracker: Tracker):
    tracker.campaign(
        "campaign-1", starts_at=datetime(2026, 3, 1, 20, tzinfo=UTC), ends_at=datetime(2026, 3, 2, 20, tzinfo=UTC)
    )
    ((_, _, first, last, *_),) = summary(tracker, CAMPAIGN_SUMMARY, zone="Asia/Ho_Chi_Minh")
    assert (first, last) == ("2026-03-02", "2026-03-03")


def test_every_day_of_the_last_ninety_has_a_row_and_today(tracker: Tracker):
    tracker.click(at=NOON)
    tracker.signup(at=NOON - timedelta(days=90))
    tracker.click(at=NOON - timedelta(days=91))
    rows = summary(tracker, TIME_SERIES)
    assert [row[0] for row in rows] == [str(day) for day in days(date(2025, 12, 10), date(2026, 3, 10))]
    assert len(rows) == 91
    assert (rows[0], rows[-1]) == (["2025-12-10", 0, 1, 0], ["2026-03-10", 1, 0, 0])
    assert all(row[1:] == [0, 0, 0] for row in rows[1:-1])


def test_without_any_event_every_day_is_there(tracker: Tracker):
    assert [row[1:] for row in summary(tracker, TIME_SERIES)] == [[0, 0, 0]] * 91


@pytest.mark.parametrize("change", [date(2026, 3, 29), date(2026, 10, 25)])
def test_days_on_which_the_clocks_change_are_whole(tracker: Tracker, change: date):
    """The first and the last quarter of an hour of the day before, the day itself, and the day after."""
    expected = {}
    for day in days(change - timedelta(days=1), change + timedelta(days=1)):
        for hour, minute in ((0, 0), (23, 59)):
            tracker.click(at=datetime(day.year, day.month, day.day, hour, minute, tzinfo=BERLIN))
        expected[str(day)] = 2
    moment = datetime(change.year, change.month, change.day, 23, 30, tzinfo=BERLIN) + timedelta(days=1)
    rows = summary(tracker, TIME_SERIES, moment, "Europe/Berlin")
    assert [row[0] for row in rows] == [str(day) for day in days(moment.date() - timedelta(days=90), moment.date())]
    assert {row[0]: row[1] for row in rows if row[1]} == expected


def test_a_signup_the_day_after_its_click_counts_for_its_own_day(tracker: Tracker):
    click = tracker.click(at=datetime(2026, 3, 9, 23, 50, tzinfo=UTC))
    tracker.signup(at=datetime(2026, 3, 10, 0, 10, tzinfo=UTC), click=click)
    assert summary(tracker, TIME_SERIES)[-2:] == [["2026-03-09", 1, 0, 0], ["2026-03-10", 0, 1, 0]]


def test_raw_data_has_what_is_known_of_each_event_masked(tracker: Tracker):
    click = tracker.click(at=datetime(2026, 3, 5, 12, 0, 0, 123456, tzinfo=UTC), ip="203.0.113.7", user_agent="Safari")
    tracker.signup(at=datetime(2026, 3, 6, 7, tzinfo=UTC), click=click, email="lan@example.com")
    tracker.signup(at=datetime(2026, 3, 7, tzinfo=UTC), click="never came")
    of_link = ["link-1", "officer-1", "campaign-1", "Spring"]
    first, second, third = raw_data(tracker)
    assert first == ["2026-03-05T12:00:00.123456+00:00", "click", *of_link, "", "203.0.x.x", "Safari"]
    assert HASH.fullmatch(second[6])
    assert second == ["2026-03-06T07:00:00+00:00", "signup", *of_link, second[6], "203.0.x.x", "Safari"]
    assert third == ["2026-03-07T00:00:00+00:00", "signup", *of_link, "", "", ""]


def test_raw_data_shows_whole_addresses_to_a_tenant_that_wants_them(tracker: Tracker):
    tracker.click(ip="203.0.113.7")
    assert raw_data(tracker, whole_ip=True)[0][7] == "203.0.113.7"


def test_events_of_one_microsecond_have_an_order_of_their_own(tracker: Tracker):
    for event_id in ("b", "a", "B"):
        tracker.click(event_id=event_id, user_agent=f"click {event_id}")
    tracker.signup(event_id="A")
    tracker.click(at=NOON - timedelta(days=30), user_agent="earlier")
    assert [row[8] for row in raw_data(tracker)] == ["earlier", "click B", "click a", "click b", ""]


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+84 90", "-1", "@cmd", "\tx", "'x", "007", "1e5", "TRUE", "cà phê ☕", "\N{FULLWIDTH EQUALS SIGN}1"],
)
def test_a_text_stays_as_it_is(text: str):
    assert Cells().row([text]) == [text]


def test_line_ends_are_of_one_kind_and_control_characters_are_shown_as_unknown():
    assert Cells().row(["a\r\nb\rc\x00\x1b\x7f"]) == ["a\nb\nc\ufffd\ufffd\ufffd"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x" * 50_000, "x" * 50_000),
        ("x" * 60_000, "x" * 49_999 + "…"),
        ("☕" * 50_001, "☕" * 49_999 + "…"),
        # Two units each: the 25,000th would not fit beside the ellipsis.
        ("😀" * 25_000, "😀" * 25_000),
        ("😀" * 25_001, "😀" * 24_999 + "…"),
    ],
)
def test_a_text_that_no_cell_takes_is_cut_and_counted(text: str, shown: str):
    cells = Cells()
    assert cells.row([text, "short"]) == [shown, "short"]
    assert cells.cut == (text != shown)


def test_a_checksum_is_the_same_of_what_a_spreadsheet_gives_back():
    rows = [["officer-1", "Lan", 3, 1, 33.33], ["officer-2", "", 0, 0, 0.0]]
    back = worksheets.normal([["officer-1", "Lan", 3.0, 1, 33.33], ["officer-2", None, 0, 0, 0]], 5)
    assert worksheets.checksum(OFFICER_SUMMARY, back) == worksheets.checksum(OFFICER_SUMMARY, rows)
    for changed in (
        [["officer-1", "Lan", 3, 1, 33.34], rows[1]],
        [rows[0]],
        rows[::-1],
        [["officer-1", "Lan", "3", 1, 33.33], rows[1]],
    ):
        assert worksheets.checksum(OFFICER_SUMMARY, changed) != worksheets.checksum(OFFICER_SUMMARY, rows)
    assert worksheets.checksum(OFFICER_SUMMARY, []) != worksheets.checksum(RAW_DATA, [])
