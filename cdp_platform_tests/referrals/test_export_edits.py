"""People edit the spreadsheet between two exports."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from cdp_platform import settings
from cdp_platform.errors import ConfigurationError, SourceError
from cdp_platform.referrals.plan import ExportLimits
from cdp_platform.referrals.worksheets import COLUMNS, OFFICER_SUMMARY, RAW_DATA, TIME_SERIES
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.referrals.exporter import Exporter
from cdp_platform_tests.referrals.tracker import MOMENT, Tracker

SECOND_TAB = f"{RAW_DATA}_2"


@pytest.fixture
def events(tracker: Tracker) -> Tracker:
    """Three clicks."""
    for number in range(3):
        click(tracker, number)
    return tracker


def click(tracker: Tracker, number: int) -> None:
    tracker.click(user_agent=f"agent {number}", at=MOMENT + timedelta(seconds=number))


def agents(exporter: Exporter, title: str = RAW_DATA) -> list[str]:
    rows = exporter.rows(title)
    assert rows[0] == COLUMNS[RAW_DATA]
    assert all(len(row) == 9 for row in rows), rows
    return [row[8] for row in rows[1:]]


def numbered(*numbers: int) -> list[str]:
    return [f"agent {number}" for number in numbers]


def rename(sheet_id: int, title: str) -> dict[str, Any]:
    return {"updateSheetProperties": {"properties": {"sheetId": sheet_id, "title": title}, "fields": "title"}}


def insert(sheet_id: int, dimension: str, at: int) -> dict[str, Any]:
    place = {"sheetId": sheet_id, "dimension": dimension, "startIndex": at, "endIndex": at + 1}
    return {"insertDimension": {"range": place, "inheritFromBefore": False}}


def delete(sheet_id: int, dimension: str, at: int) -> dict[str, Any]:
    place = {"sheetId": sheet_id, "dimension": dimension, "startIndex": at, "endIndex": at + 1}
    return {"deleteDimension": {"range": place}}


EDITS: dict[str, Any] = {
    "deleted": lambda sheet_id: [{"deleteSheet": {"sheetId": sheet_id}}],
    "renamed": lambda sheet_id: [rename(sheet_id, "Mine")],
    "column inserted in front": lambda sheet_id: [insert(sheet_id, "COLUMNS", 0)],
    "column inserted in the middle": lambda sheet_id: [insert(sheet_id, "COLUMNS", 3)],
    "column deleted": lambda sheet_id: [delete(sheet_id, "COLUMNS", 2)],
    "row inserted above": lambda sheet_id: [insert(sheet_id, "ROWS", 0)],
    "row inserted in the middle": lambda sheet_id: [insert(sheet_id, "ROWS", 2)],
    "row deleted": lambda sheet_id: [delete(sheet_id, "ROWS", 1)],
    "emptied": lambda sheet_id: [{"updateCells": {"range": {"sheetId": sheet_id}, "fields": "userEnteredValue"}}],
    "sorted": lambda sheet_id: [
        {
            "sortRange": {
                "range": {"sheetId": sheet_id, "startRowIndex": 1},
                "sortSpecs": [{"dimensionIndex": 0, "sortOrder": "DESCENDING"}],
            }
        }
    ],
    "header frozen with rows and columns": lambda sheet_id: [
        {
            "updateSheetProperties": {
                "properties": {
                    "sheetId": sheet_id,
                    "gridProperties": {"frozenRowCount": 2, "frozenColumnCount": 2},
                },
                "fields": "gridProperties.frozenRowCount,gridProperties.frozenColumnCount",
            }
        },
        insert(sheet_id, "ROWS", 1),
    ],
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=list(EDITS))
def test_the_next_export_shows_every_event_once_whatever_was_done_to_the_tab(
    exporter: Exporter, events: Tracker, edit: Any
):
    exporter.run()
    exporter.change(*edit(exporter.tabs()[RAW_DATA].sheet_id))
    click(events, 3)
    exporter.run()
    assert agents(exporter) == numbered(0, 1, 2, 3)
    assert exporter.run().writes == 0
    click(events, 4)
    exporter.run()
    assert agents(exporter) == numbered(0, 1, 2, 3, 4)


@pytest.mark.parametrize("edit", EDITS.values(), ids=list(EDITS))
def test_a_summary_is_as_it_should_be_whatever_was_done_to_the_tab(exporter: Exporter, events: Tracker, edit: Any):
    for number in range(2, 5):
        events.officer(f"officer-{number}")
    exporter.run()
    wanted = exporter.rows(OFFICER_SUMMARY)
    sheet_id = exporter.tabs()[OFFICER_SUMMARY].sheet_id
    exporter.change(*edit(sheet_id))
    if OFFICER_SUMMARY in exporter.tabs():
        exporter.type(f"'{OFFICER_SUMMARY}'!B2", ["Somebody"])
    exporter.run()
    assert exporter.rows(OFFICER_SUMMARY) == wanted
    assert exporter.run().writes == 0


@pytest.mark.parametrize(
    ("at", "row"),
    [("A1:C1", ["a", "b", "c"]), ("A4", ["2026"]), ("I4", ["Opera"]), ("A5", ["note"]), ("C5:D5", ["a", "note"])],
    ids=["header", "time of the last", "browser of the last", "below", "below in the middle"],
)
def test_cells_that_somebody_changed_at_the_ends_of_raw_data_are_as_they_were(
    exporter: Exporter, events: Tracker, at: str, row: list[Any]
):
    exporter.run()
    exporter.change({"appendDimension": {"sheetId": tab(exporter), "dimension": "ROWS", "length": 5}})
    exporter.type(f"'{RAW_DATA}'!{at}", row)
    click(events, 3)
    exporter.run()
    assert agents(exporter) == numbered(0, 1, 2, 3)


def test_a_tab_keeps_its_id_so_that_charts_and_links_of_people_stay(exporter: Exporter, events: Tracker):
    exporter.run()
    before = {title: sheet.sheet_id for title, sheet in exporter.tabs().items()}
    exporter.change(insert(before[RAW_DATA], "COLUMNS", 0))
    exporter.type(f"'{OFFICER_SUMMARY}'!A1", ["x"])
    click(events, 3)
    exporter.run()
    assert {title: sheet.sheet_id for title, sheet in exporter.tabs().items()} == before


def test_a_renamed_tab_stays_with_whoever_renamed_it(exporter: Exporter, events: Tracker):
    exporter.run()
    exporter.change(rename(tab(exporter), "Mine"))
    click(events, 3)
    exporter.run()
    assert agents(exporter, "Mine") == numbered(0, 1, 2)
    assert agents(exporter) == numbered(0, 1, 2, 3)


def test_what_somebody_edits_while_it_is_read_back_is_told_and_mended_by_the_next_export(
    exporter: Exporter, events: Tracker
):
    done = while_read_back(exporter, lambda: exporter.type(f"'{OFFICER_SUMMARY}'!B2", ["Somebody"]))
    assert [name for name, each in done.worksheets.items() if each.edited] == [OFFICER_SUMMARY]
    assert exporter.ledger() == ["confirmed"]
    assert exporter.rows(OFFICER_SUMMARY)[1][1] == "Somebody"
    exporter.run()
    assert exporter.rows(OFFICER_SUMMARY)[1][1] == "Lan Nguyen"


def test_notes_that_somebody_overwrites_while_they_are_read_back_are_an_error_and_nothing_comes_twice(
    exporter: Exporter, events: Tracker
):
    done = while_read_back(exporter, lambda: exporter.type("'_cdp_export'!B2", ["mine"]))
    assert isinstance(done, SourceError)
    assert "its notes about Tracker_Raw_Data are of another export" in str(done)
    assert exporter.ledger() == ["unknown"]
    exporter.run()
    assert agents(exporter) == numbered(0, 1, 2)
    # The notes of the other worksheets still name the export.
    assert exporter.ledger() == ["confirmed", "unchanged"]


def while_read_back(exporter: Exporter, deed: Callable[[], None]) -> Any:
    """Run an export, and do the deed between its change and its reading; returns its error or result."""
    wait = {"action": "delay", "seconds": 1}
    exporter.run([TIME_SERIES])
    exporter.tracker.execute("DELETE FROM referrals.sheet_export")
    path = f"{exporter.spreadsheet.spreadsheet_id}/values:batchGet"
    exporter.stub.sandbox.spoil({"match": {"path_regex": path, "after": 1}, **wait})
    with (
        connect(settings.postgres()) as connection,
        Exporter(replace(exporter.tracker, connection=connection), exporter.stub) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(other.run)
        while exporter.stub.fired() == [0]:
            time.sleep(0.01)
        deed()
        assert not running.done()
        return running.exception() or running.result()


def test_tabs_of_people_and_notes_beside_raw_data_are_left_alone(exporter: Exporter, events: Tracker):
    exporter.run()
    exporter.change({"appendDimension": {"sheetId": tab(exporter), "dimension": "COLUMNS", "length": 2}})
    exporter.type(f"'{RAW_DATA}'!K2", ["mine"])
    exporter.type("'Sheet1'!A1", ["mine too"])
    click(events, 3)
    exporter.run()
    assert exporter.rows(RAW_DATA)[1][9:] == ["", "mine"]
    assert [row[8] for row in exporter.rows(RAW_DATA)[1:]] == numbered(0, 1, 2, 3)
    assert exporter.rows("Sheet1") == [["mine too"]]


def test_merged_cells_do_not_swallow_what_is_written(exporter: Exporter, events: Tracker):
    exporter.run()
    sheet_id = exporter.tabs()[OFFICER_SUMMARY].sheet_id
    place = {"sheetId": sheet_id, "startRowIndex": 0, "endRowIndex": 2, "startColumnIndex": 0, "endColumnIndex": 3}
    exporter.change({"mergeCells": {"range": place, "mergeType": "MERGE_ALL"}})
    exporter.run()
    assert exporter.rows(OFFICER_SUMMARY) == [COLUMNS[OFFICER_SUMMARY], ["officer-1", "Lan Nguyen", 3, 0, 0]]


@pytest.mark.parametrize(
    "edit",
    [
        lambda exporter: exporter.change({"deleteSheet": {"sheetId": tab(exporter, "_cdp_export")}}),
        lambda exporter: exporter.type("'_cdp_export'!A1:G5", *[["x"] * 7] * 5),
        lambda exporter: exporter.type("'_cdp_export'!D2", ["many"]),
        lambda exporter: exporter.change(delete(tab(exporter, "_cdp_export"), "ROWS", 1)),
        lambda exporter: exporter.change(delete(tab(exporter, "_cdp_export"), "COLUMNS", 1)),
    ],
    ids=["deleted", "overwritten", "no number", "row deleted", "column deleted"],
)
def test_without_its_own_notes_an_export_writes_everything_again(exporter: Exporter, events: Tracker, edit: Any):
    exporter.run()
    before = exporter.contents()
    edit(exporter)
    done = exporter.run()
    assert exporter.contents() == before
    assert not done.worksheets[RAW_DATA].unchanged
    assert exporter.tabs()["_cdp_export"].hidden
    assert exporter.run().writes == 0


def test_a_spreadsheet_that_is_set_back_gets_what_it_lacks(exporter: Exporter, events: Tracker):
    """As with version history: tabs and notes are those of the first export, and the ledger has the second."""
    exporter.run()
    notes, raw = exporter.rows("_cdp_export"), exporter.rows(RAW_DATA)
    click(events, 3)
    exporter.run()
    exporter.change(delete(tab(exporter), "ROWS", 4))
    exporter.type("'_cdp_export'!A1:G5", *notes)
    assert exporter.rows(RAW_DATA) == raw
    click(events, 4)
    exporter.run()
    assert agents(exporter) == numbered(0, 1, 2, 3, 4)


def test_an_export_that_a_set_back_warehouse_has_as_reserved_is_confirmed(
    exporter: Exporter, events: Tracker, warehouse: Warehouse
):
    exporter.run()
    with warehouse.superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE referrals.sheet_export SET state = 'reserved'")
    exporter.run()
    assert exporter.ledger() == ["confirmed", "unchanged"]
    assert agents(exporter) == numbered(0, 1, 2)


def test_no_export_moves_backwards(exporter: Exporter, events: Tracker):
    exporter.run()
    with pytest.raises(psycopg.errors.CheckViolation):
        events.execute("UPDATE referrals.sheet_export SET state = 'handed_over'")
    assert exporter.ledger() == ["confirmed"]


def test_a_warehouse_that_is_set_back_writes_no_event_twice(exporter: Exporter, events: Tracker):
    """As after a restored backup: the spreadsheet has an export that the ledger does not have."""
    exporter.run()
    click(events, 3)
    click(events, 4)
    exporter.run()
    events.execute("DELETE FROM referrals.exported_event WHERE position > 3")
    events.execute(
        "DELETE FROM referrals.sheet_export WHERE export_id NOT IN (SELECT export_id FROM referrals.exported_event)"
    )
    exporter.run()
    assert agents(exporter) == numbered(0, 1, 2, 3, 4)


def test_a_full_tab_that_somebody_deleted_or_edited_is_left_alone(exporter: Exporter, events: Tracker):
    exporter.limits = ExportLimits(rows_per_tab=2)
    for number in range(3, 6):
        click(events, number)
    exporter.run()
    exporter.change({"deleteSheet": {"sheetId": tab(exporter)}})
    exporter.type(f"'{SECOND_TAB}'!I2", ["edited"])
    click(events, 6)
    exporter.run()
    assert RAW_DATA not in exporter.tabs()
    assert agents(exporter, SECOND_TAB) == ["edited", "agent 3"]
    assert agents(exporter, f"{RAW_DATA}_3") == numbered(4, 5)
    assert agents(exporter, f"{RAW_DATA}_4") == numbered(6)


def erase(tracker: Tracker, *positions: int) -> None:
    """As the erasure of a person does it."""
    tracker.execute(
        "UPDATE referrals.click_event SET ip = NULL, user_agent = NULL, erased_at = now() WHERE click_event_id IN"
        " (SELECT event_id FROM referrals.exported_event WHERE position = ANY(%s))",
        [list(positions)],
    )
    tracker.execute("UPDATE referrals.exported_event SET stale = true WHERE position = ANY(%s)", [list(positions)])


def shown(exporter: Exporter, title: str) -> list[str]:
    return [row[8] if len(row) > 8 else "" for row in exporter.rows(title)[1:]]


def test_an_erased_person_leaves_full_tabs_too(exporter: Exporter, events: Tracker):
    exporter.limits = ExportLimits(rows_per_tab=2)
    exporter.run()
    erase(events, 1, 3)
    done = exporter.run([RAW_DATA])
    assert shown(exporter, RAW_DATA) == ["", "agent 1"]
    assert shown(exporter, SECOND_TAB) == [""]
    assert done.worksheets[RAW_DATA].difference.changed == 2
    assert exporter.run([RAW_DATA]).writes == 0
    click(events, 3)
    exporter.run()
    assert shown(exporter, SECOND_TAB) == ["", "agent 3"]


def test_an_erased_person_leaves_a_full_tab_whose_rows_were_moved(exporter: Exporter, events: Tracker):
    exporter.limits = ExportLimits(rows_per_tab=2)
    exporter.run()
    exporter.change(insert(tab(exporter), "ROWS", 0))
    erase(events, 1)
    exporter.run([RAW_DATA])
    assert shown(exporter, RAW_DATA) == ["", "agent 1"]
    assert exporter.rows(RAW_DATA)[0] == COLUMNS[RAW_DATA]


def test_an_erased_person_of_a_deleted_tab_needs_nothing(exporter: Exporter, events: Tracker):
    exporter.limits = ExportLimits(rows_per_tab=2)
    exporter.run()
    exporter.change({"deleteSheet": {"sheetId": tab(exporter)}})
    erase(events, 1)
    assert exporter.run([RAW_DATA]).writes == 0
    assert RAW_DATA not in exporter.tabs()
    assert not events.rows("SELECT FROM referrals.exported_event WHERE stale")


def test_an_erased_person_leaves_a_spreadsheet_that_has_no_room_for_more(exporter: Exporter, events: Tracker):
    exporter.run()
    erase(events, 1)
    click(events, 3)
    exporter.limits = ExportLimits(cells=sum(sheet.rows * sheet.columns for sheet in exporter.tabs().values()) + 10)
    with pytest.raises(ConfigurationError, match="no room"):
        exporter.run([RAW_DATA])
    assert shown(exporter, RAW_DATA) == ["", "agent 1", "agent 2"]
    ((described, reason),) = events.rows(
        "SELECT worksheets, reason FROM referrals.sheet_export WHERE state = 'confirmed' AND reason IS NOT NULL"
    )
    assert described == {}
    assert "no room" in reason


def test_many_erased_rows_are_written_with_their_tab(exporter: Exporter, tracker: Tracker):
    for number in range(120):
        click(tracker, number)
    exporter.run()
    erase(tracker, *range(1, 121, 2))
    click(tracker, 120)
    done = exporter.run()
    assert shown(exporter, RAW_DATA) == [
        "" if number % 2 == 0 and number < 120 else f"agent {number}" for number in range(121)
    ]
    assert done.worksheets[RAW_DATA].difference.added == 1


def tab(exporter: Exporter, title: str = RAW_DATA) -> int:
    return exporter.tabs()[title].sheet_id
