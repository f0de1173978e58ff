from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import SharedSettings, Tenant
from cdp_platform.referrals import metrics
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.referrals.tracker import Tracker

FOREVER = (date.min, date(2100, 1, 1))


def figures(tracker: Tracker) -> dict[tuple[str, date], tuple[int, int, int, int, float]]:
    rows = tracker.rows(
        "SELECT referral_link_id, metric_date, total_clicks, total_signups, flagged_clicks, flagged_signups,"
        " click_to_signup_rate::float8 FROM referrals.daily_metrics"
    )
    return {(link, day): tuple(rest) for link, day, *rest in rows}


def count_touched(tracker: Tracker) -> metrics.CountResult:
    with tenant_transaction(tracker.connection, tracker.tenant.tenant_id):
        return metrics.count_touched(tracker.connection, tracker.tenant)


def in_zone(tracker: Tracker, zone: str) -> Tenant:
    tenants.add(tracker.connection, tracker.tenant.tenant_id, settings=[SharedSettings(time_zone=zone)])
    return tenants.get(tracker.connection, tracker.tenant.tenant_id)


def test_a_day_counts_its_events_and_keeps_the_flagged_ones_beside_them(tracker: Tracker):
    moment = datetime(2026, 3, 5, 12, tzinfo=UTC)
    for score in (None, 0.0, 7.0, 7.5, 10.0):
        tracker.click(at=moment, fraud_score=score)
    tracker.signup(at=moment)
    tracker.signup(at=moment, fraud_score=8.0)
    count_touched(tracker)
    assert figures(tracker) == {("link-1", date(2026, 3, 5)): (3, 1, 2, 1, 33.33)}


def test_a_score_that_is_no_number_flags_nothing(tracker: Tracker):
    moment = datetime(2026, 3, 5, 12, tzinfo=UTC)
    for score in ("NaN", "-Infinity", "-0", "Infinity", "1e308"):
        tracker.click(at=moment, fraud_score=float(score))
        tracker.signup(at=moment, fraud_score=float(score))
    count_touched(tracker)
    # Infinity is above 7.
    assert figures(tracker) == {("link-1", date(2026, 3, 5)): (3, 3, 2, 2, 100.0)}


def test_a_score_that_becomes_no_number_unflags_its_event(tracker: Tracker):
    tracker.click(at=datetime(2026, 3, 5, 12, tzinfo=UTC), event_id="one", fraud_score=9.0)
    count_touched(tracker)
    assert figures(tracker)["link-1", date(2026, 3, 5)] == (0, 0, 1, 0, 0.0)
    tracker.execute("UPDATE referrals.click_event SET fraud_score = 'NaN'")
    count_touched(tracker)
    assert figures(tracker)["link-1", date(2026, 3, 5)] == (1, 0, 0, 0, 0.0)


def test_a_signup_counts_for_its_own_day_and_a_day_without_clicks_has_the_rate_0(tracker: Tracker):
    clicked = datetime(2026, 3, 5, 23, 50, tzinfo=UTC)
    click = tracker.click(at=clicked)
    tracker.signup(at=clicked + timedelta(minutes=20), click=click)
    count_touched(tracker)
    assert figures(tracker) == {
        ("link-1", date(2026, 3, 5)): (1, 0, 0, 0, 0.0),
        ("link-1", date(2026, 3, 6)): (0, 1, 0, 0, 0.0),
    }
    totals = metrics.totals(tracker.connection, tracker.tenant, *FOREVER)
    # Weighted: over both days together there are as many signups as clicks.
    assert (totals.clicks, totals.signups, totals.click_to_signup_rate) == (1, 1, 100.0)


def test_a_late_event_changes_its_own_day_and_no_other(tracker: Tracker):
    for day in (5, 6):
        tracker.click(at=datetime(2026, 3, day, 12, tzinfo=UTC))
    assert count_touched(tracker).changed == {date(2026, 3, 5), date(2026, 3, 6)}
    stamps = tracker.rows("SELECT metric_date, xmin FROM referrals.daily_metrics ORDER BY 1")
    tracker.click(at=datetime(2026, 3, 5, 0, 0, tzinfo=UTC))
    done = count_touched(tracker)
    assert done == metrics.CountResult([(date(2026, 3, 5), date(2026, 3, 6))], {date(2026, 3, 5)})
    assert tracker.rows("SELECT metric_date, xmin FROM referrals.daily_metrics ORDER BY 1")[1] == stamps[1]
    assert count_touched(tracker) == metrics.CountResult([], set())


def test_an_event_that_is_flagged_later_or_deleted_leaves_the_figures(tracker: Tracker):
    moment = datetime(2026, 3, 5, 12, tzinfo=UTC)
    tracker.click(at=moment, event_id="bot")
    tracker.click(at=moment, event_id="gone")
    count_touched(tracker)
    tracker.execute("UPDATE referrals.click_event SET fraud_score = 9 WHERE click_event_id = 'bot'")
    tracker.execute("DELETE FROM referrals.click_event WHERE click_event_id = 'gone'")
    count_touched(tracker)
    assert figures(tracker) == {("link-1", date(2026, 3, 5)): (0, 0, 1, 0, 0.0)}
    tracker.execute("DELETE FROM referrals.click_event")
    count_touched(tracker)
    assert figures(tracker) == {}


def test_what_is_not_counted_touches_no_day(tracker: Tracker):
    tracker.click(at=datetime(2026, 3, 5, 12, tzinfo=UTC), event_id="one")
    count_touched(tracker)
    tracker.execute("UPDATE referrals.click_event SET user_agent = 'other', fraud_score = 3")
    assert count_touched(tracker).days == []


def test_an_event_that_is_committed_while_its_day_is_counted_is_counted_next(tracker: Tracker, warehouse: Warehouse):
    moment = datetime(2026, 3, 5, 12, tzinfo=UTC)
    with tracker.another() as late:
        with tenant_transaction(late.connection, "acme"):
            late.click(at=moment)
            tracker.click(at=moment)
            count_touched(tracker)
            assert figures(tracker)["link-1", moment.date()][0] == 1
        count_touched(tracker)
        assert figures(tracker)["link-1", moment.date()][0] == 2


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        # The clock skips the hour after midnight: the day begins at 01:00.
        ("America/Havana", date(2026, 3, 8), 23),
        ("America/Santiago", date(2026, 4, 5), 24),
        ("Asia/Ho_Chi_Minh", date(2026, 10, 25), 24),
        ("Asia/Kathmandu", date(2026, 10, 25), 24),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
    ],
)
def test_a_day_is_whole_in_its_time_zone_also_when_clocks_change(tracker: Tracker, zone: str, day: date, hours: float):
    tracker.tenant = in_zone(tracker, zone)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
    moments = [start + timedelta(minutes=15 * quarter) for quarter in range(4 * 72)]
    for moment in moments:
        tracker.click(at=moment)
    count_touched(tracker)
    wanted = Counter(moment.astimezone(ZoneInfo(zone)).date() for moment in moments)
    assert {day: found[0] for (_, day), found in figures(tracker).items()} == wanted
    assert wanted[day] == 4 * hours


def test_in_another_time_zone_every_day_is_counted_again(tracker: Tracker):
    for hour in range(48):
        tracker.click(at=datetime(2026, 3, 5, tzinfo=UTC) + timedelta(hours=hour))
    count_touched(tracker)
    assert {day: found[0] for (_, day), found in figures(tracker).items()} == {
        date(2026, 3, 5): 24,
        date(2026, 3, 6): 24,
    }
    tracker.tenant = in_zone(tracker, "Asia/Ho_Chi_Minh")
    count_touched(tracker)
    assert {day: found[0] for (_, day), found in figures(tracker).items()} == {
        date(2026, 3, 5): 17,
        date(2026, 3, 6): 24,
        date(2026, 3, 7): 7,
    }


def test_a_month_can_be_counted_at_any_time_and_mends_what_was_written_past_it(tracker: Tracker):
    tracker.click(at=datetime(2026, 3, 5, 12, tzinfo=UTC))
    march = (date(2026, 3, 1), date(2026, 4, 1))
    assert metrics.count_days(tracker.connection, tracker.tenant, *march).changed == {date(2026, 3, 5)}
    tracker.execute("UPDATE referrals.daily_metrics SET total_clicks = 7")
    tracker.execute(
        "INSERT INTO referrals.daily_metrics (tenant_id, referral_link_id, metric_date, total_clicks, total_signups,"
        " flagged_clicks, flagged_signups) VALUES ('acme', 'link-1', '2026-03-31', 1, 1, 0, 0)"
    )
    audit = metrics.audit(tracker.connection, tracker.tenant, *march)
    assert (audit.events, audit.counted) == (1, 9)
    metrics.count_days(tracker.connection, tracker.tenant, *march)
    assert figures(tracker) == {("link-1", date(2026, 3, 5)): (1, 0, 0, 0, 0.0)}
    assert metrics.audit(tracker.connection, tracker.tenant, *march) == metrics.Audit(1, 1, 0)


def test_counting_a_month_leaves_other_months_touched(tracker: Tracker):
    for month in (3, 4):
        tracker.click(at=datetime(2026, month, 1, tzinfo=UTC))
    metrics.count_days(tracker.connection, tracker.tenant, date(2026, 3, 1), date(2026, 4, 1))
    assert metrics.audit(tracker.connection, tracker.tenant, *FOREVER).days_touched == 1
    assert count_touched(tracker).changed == {date(2026, 4, 1)}


EVENTS = st.lists(
    st.tuples(
        st.datetimes(datetime(2026, 3, 20), datetime(2026, 4, 10), timezones=st.just(UTC)),  # noqa: DTZ001
        st.booleans(),
        st.sampled_from([None, 1.0, 9.0]),
        st.sampled_from(["link-1", "link-2"]),
    ),
    max_size=30,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=EVENTS, then=EVENTS, zone=st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Auckland"]))
def test_days_counted_as_events_come_are_the_same_as_all_counted_at_once(
    tracker: Tracker, first: list[Any], then: list[Any], zone: str
):
    tracker.clear()
    tracker.link("link-2")
    tracker.tenant = in_zone(tracker, zone)
    for batch in (first, then):
        for at, is_click, score, link in batch:
            write = tracker.click if is_click else tracker.signup
            write(at=at, link=link, fraud_score=score)
        count_touched(tracker)
    step_by_step = figures(tracker)
    tracker.execute("DELETE FROM referrals.daily_metrics")
    metrics.count_days(tracker.connection, tracker.tenant, *FOREVER)
    assert figures(tracker) == step_by_step
    totals = metrics.totals(tracker.connection, tracker.tenant, *FOREVER)
    assert totals.clicks + totals.signups + totals.flagged_clicks + totals.flagged_signups == len(first) + len(then)
    assert replace(totals, rows=0).signups <= len(first) + len(then)


def test_no_tenant_counts_the_events_of_another(tracker: Tracker, app: psycopg.Connection):
    tracker.click(at=datetime(2026, 3, 5, 12, tzinfo=UTC))
    tenants.add(app, "other", arango_database="other")
    other = tenants.get(app, "other")
    assert metrics.count_days(app, other, *FOREVER).changed == set()
    assert metrics.totals(app, other, *FOREVER).rows == 0
