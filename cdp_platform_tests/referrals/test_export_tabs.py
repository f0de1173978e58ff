"""Raw data of several tabs, of several changes, and of a spreadsheet without room."""

from datetime import timedelta
from typing import Any

import pytest

from cdp_platform.errors import ConfigurationError
from cdp_platform.referrals.plan import ExportLimits
from cdp_platform.referrals.worksheets import COLUMNS, OFFICER_SUMMARY, RAW_DATA
from cdp_platform_tests.referrals.exporter import ALL, BRISK, READ_ONLY, Exporter
from cdp_platform_tests.referrals.tracker import MOMENT, Tracker


def agents(rows: list[list[Any]]) -> list[str]:
    """The browsers in raw data, which identify the events in these tests."""
    assert rows[0] == COLUMNS[RAW_DATA]
    return [row[8] for row in rows[1:]]


def test_a_full_tab_is_followed_by_the_next(exporter: Exporter, tracker: Tracker):
    exporter.limits = ExportLimits(rows_per_tab=4)
    for number in range(10):
        tracker.click(user_agent=str(number), at=MOMENT + timedelta(seconds=number))
    done = exporter.run()
    assert agents(exporter.rows(RAW_DATA)) == ["0", "1", "2", "3"]
    assert agents(exporter.rows(f"{RAW_DATA}_2")) == ["4", "5", "6", "7"]
    assert agents(exporter.rows(f"{RAW_DATA}_3")) == ["8", "9"]
    found = done.worksheets[RAW_DATA].difference
    assert (found.before, found.after, found.added) == (0, 10, 10)
    assert exporter.run().writes == 0
    for number in range(10, 13):
        tracker.click(user_agent=str(number), at=MOMENT + timedelta(seconds=number))
    exporter.run()
    assert agents(exporter.rows(f"{RAW_DATA}_3")) == ["8", "9", "10", "11"]
    assert agents(exporter.rows(f"{RAW_DATA}_4")) == ["12"]


def test_a_tab_that_is_exactly_full_is_right(exporter: Exporter, tracker: Tracker):
    exporter.limits = ExportLimits(rows_per_tab=2)
    for number in range(2):
        tracker.click(user_agent=str(number), at=MOMENT + timedelta(seconds=number))
    exporter.run()
    assert exporter.run().writes == 0
    assert f"{RAW_DATA}_2" not in exporter.tabs()
    tracker.click(user_agent="2", at=MOMENT + timedelta(seconds=2))
    exporter.run()
    assert agents(exporter.rows(f"{RAW_DATA}_2")) == ["2"]


def test_many_events_take_several_changes_and_all_four_show_one_moment_in_the_end(exporter: Exporter, tracker: Tracker):
    exporter.limits = ExportLimits(rows_per_change=4)
    for number in range(10):
        tracker.click(user_agent=str(number), at=MOMENT + timedelta(seconds=number))
    exporter.run()
    assert agents(exporter.rows(RAW_DATA)) == [str(number) for number in range(10)]
    described = tracker.rows("SELECT worksheets FROM referrals.sheet_export ORDER BY started_at")
    assert [set(each) for (each,) in described] == [{RAW_DATA}, {RAW_DATA}, {*ALL}]
    assert len({row[1] for row in exporter.rows("_cdp_export")[1:]}) == 1


def test_without_room_for_raw_data_the_summaries_go_out_and_nothing_is_lost(exporter: Exporter, tracker: Tracker):
    tracker.click(user_agent="one")
    exporter.run()
    for number in range(300):
        tracker.click(user_agent=str(number), at=MOMENT + timedelta(days=1, seconds=number))
    cells = sum(sheet.rows * sheet.columns for sheet in exporter.tabs().values())
    exporter.limits = ExportLimits(cells=cells + 2_000)
    with pytest.raises(ConfigurationError, match=r"no room for more.*Move full tabs.*Nothing is lost"):
        exporter.run()
    assert agents(exporter.rows(RAW_DATA)) == ["one"]
    assert exporter.rows(OFFICER_SUMMARY)[1][2] == 301
    # Only events without room are left to write.
    exporter.arrived()
    with pytest.raises(ConfigurationError, match="no room"):
        exporter.run()
    assert exporter.arrived() == READ_ONLY
    assert exporter.ledger() == ["confirmed", "confirmed", "failed"]
    exporter.limits = BRISK
    exporter.run()
    assert agents(exporter.rows(RAW_DATA)) == ["one", *map(str, range(300))]
