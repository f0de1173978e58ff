"""What an export writes to a spreadsheet and to the ledger."""

import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdp_platform.errors import BusyError, ConfigurationError
from cdp_platform.ops import locks, tenants
from cdp_platform.referrals import worksheets
from cdp_platform.referrals.comparison import RawData, summary_ranges
from cdp_platform.referrals.plan import ExportLimits
from cdp_platform.referrals.worksheets import (
    CAMPAIGN_SUMMARY,
    COLUMNS,
    OFFICER_SUMMARY,
    RAW_DATA,
    SUMMARIES,
    TIME_SERIES,
)
from cdp_platform.resources.sheets import SheetInfo
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.referrals.exporter import ALL, READ_ONLY, Exporter
from cdp_platform_tests.referrals.tracker import MOMENT, Tracker


def agents(rows: list[list[Any]]) -> list[str]:
    """The browsers in raw data, which identify the events in these tests."""
    assert rows[0] == COLUMNS[RAW_DATA]
    return [row[8] for row in rows[1:]]


def test_four_worksheets_come_from_one_snapshot_in_one_change(exporter: Exporter, tracker: Tracker):
    click = tracker.click(user_agent="Safari", ip="203.0.113.7")
    tracker.signup(click=click, email="lan@example.com", at=MOMENT + timedelta(days=1))
    done = exporter.run()
    assert exporter.arrived() == [
        "GET ",
        "POST :batchUpdate",
        "POST /values:batchUpdate",
        "POST :batchUpdate",
        "GET /values:batchGet",
    ]
    assert (done.reads, done.writes) == (2, 3)
    contents = exporter.contents()
    assert {name: rows[0] for name, rows in contents.items() if name in ALL} == COLUMNS
    assert agents(contents[RAW_DATA]) == ["Safari", "Safari"]
    assert contents[OFFICER_SUMMARY][1:] == [["officer-1", "Lan Nguyen", 1, 1, 100]]
    assert contents[CAMPAIGN_SUMMARY][1][:2] == ["campaign-1", "Spring"]
    assert len(contents[TIME_SERIES]) == 92
    assert {name: each.rows for name, each in done.worksheets.items()} == {
        RAW_DATA: 2,
        OFFICER_SUMMARY: 1,
        CAMPAIGN_SUMMARY: 1,
        TIME_SERIES: 91,
    }
    assert not [title for title in exporter.tabs() if title.startswith("_cdp_staging")]


def test_a_header_stays_in_sight(exporter: Exporter):
    exporter.run()
    assert [exporter.frozen_rows(name) for name in ALL] == [1, 1, 1, 1]


def test_four_worksheets_agree_however_much_is_written_meanwhile(
    exporter: Exporter, tracker: Tracker, warehouse: Warehouse
):
    over = threading.Event()

    def write() -> None:
        with connect(warehouse.settings) as connection:
            busy = replace(tracker, connection=connection)
            while not over.is_set():
                busy.click(at=datetime.now(UTC))
                busy.signup(at=datetime.now(UTC))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = []
        for _ in range(8):
            exporter.run()
            contents = exporter.contents()
            kinds = Counter(row[1] for row in contents[RAW_DATA][1:])
            events = [kinds["click"], kinds["signup"]]
            counts.append(sum(events))
            for name, first in ((OFFICER_SUMMARY, 2), (CAMPAIGN_SUMMARY, 4), (TIME_SERIES, 1)):
                assert [sum(row[first + at] for row in contents[name][1:]) for at in (0, 1)] == events, name
    finally:
        over.set()
        writer.join()
    assert counts[-1] > counts[0]
    assert len({tuple(row) for row in exporter.rows(RAW_DATA)}) == counts[-1] + 1


def test_what_was_exported_is_written_down_here_and_there(exporter: Exporter, tracker: Tracker):
    tracker.click()
    done = exporter.run()
    ((export_id, link, snapshot_at, described, rows, checksum, outcome, ended),) = tracker.rows(
        "SELECT export_id, link, snapshot_at, worksheets, rows, checksum, state, ended_at >= started_at"
        " FROM referrals.sheet_export"
    )
    assert (export_id, link, snapshot_at) == (done.export_id, done.link, done.snapshot_at)
    assert (rows, outcome, ended, len(checksum)) == (94, "confirmed", True, 64)
    assert described[RAW_DATA] | {"checksum": ""} == {"rows": 1, "added": 1, "changed": 0, "removed": 0, "checksum": ""}
    assert link == f"{exporter.stub.base}/d/{exporter.stub.spreadsheet_id}/edit"
    state = exporter.rows("_cdp_export")
    assert state[0] == ["Worksheet", "ExportID", "SnapshotAt", "Rows", "Checksum", "Tab", "TenantID"]
    assert [row[0] for row in state[1:]] == [*ALL]
    contents = exporter.contents()
    for name, of_export, at, count, proof, tab, tenant_id in state[1:]:
        assert (of_export, at, tab, tenant_id) == (str(export_id), snapshot_at.isoformat(), name, "acme")
        assert (count, proof) == (described[name]["rows"], described[name]["checksum"])
        # The noted checksum is that of the rows in the spreadsheet.
        shown = worksheets.normal(contents[name][1:], len(COLUMNS[name]))
        assert worksheets.checksum(name, shown) == proof == done.worksheets[name].checksum
    assert exporter.tabs()["_cdp_export"].hidden


def test_a_rerun_without_change_writes_nothing(exporter: Exporter, tracker: Tracker):
    tracker.click()
    exporter.run()
    before = exporter.contents()
    exporter.arrived()
    done = exporter.run()
    assert exporter.arrived() == READ_ONLY
    assert done.writes == 0
    assert all(each.unchanged for each in done.worksheets.values())
    assert exporter.contents() == before
    assert exporter.ledger() == ["confirmed", "unchanged"]


def test_only_what_is_asked_for_is_written(exporter: Exporter, tracker: Tracker):
    tracker.click()
    assert exporter.run([RAW_DATA]).worksheets.keys() == {RAW_DATA}
    assert exporter.contents().keys() == {"Sheet1", RAW_DATA}
    exporter.run(SUMMARIES)
    assert exporter.contents().keys() == {"Sheet1", *ALL}
    assert exporter.ledger() == ["confirmed", "confirmed"]


def test_new_events_are_appended_behind_the_others_however_late_they_came(exporter: Exporter, tracker: Tracker):
    tracker.click(user_agent="one")
    tracker.click(user_agent="two", at=MOMENT + timedelta(hours=1))
    exporter.run()
    tracker.click(user_agent="late", at=MOMENT - timedelta(days=100))
    tracker.click(user_agent="same moment", at=MOMENT + timedelta(hours=1))
    done = exporter.run()
    assert agents(exporter.rows(RAW_DATA)) == ["one", "two", "late", "same moment"]
    found = done.worksheets[RAW_DATA].difference
    assert (found.before, found.after, found.added, found.changed) == (2, 4, 2, 0)


def test_an_officer_who_is_renamed_is_renamed_there(exporter: Exporter, tracker: Tracker):
    tracker.click()
    exporter.run()
    tracker.officer("officer-1", full_name="Lan Tran")
    done = exporter.run()
    assert exporter.rows(OFFICER_SUMMARY)[1:] == [["officer-1", "Lan Tran", 1, 0, 0]]
    found = done.worksheets[OFFICER_SUMMARY].difference
    assert (found.added, found.changed, found.removed) == (0, 1, 0)
    assert [name for name, each in done.worksheets.items() if not each.unchanged] == [OFFICER_SUMMARY]


def test_a_shorter_result_leaves_no_stale_rows_and_an_empty_one_the_header(exporter: Exporter, tracker: Tracker):
    for number in range(2, 6):
        tracker.officer(f"officer-{number}")
    exporter.run()
    assert len(exporter.rows(OFFICER_SUMMARY)) == 6
    tracker.execute("DELETE FROM referrals.officer WHERE officer_id IN ('officer-3', 'officer-4', 'officer-5')")
    done = exporter.run()
    assert [row[0] for row in exporter.rows(OFFICER_SUMMARY)] == ["OfficerID", "officer-1", "officer-2"]
    assert done.worksheets[OFFICER_SUMMARY].difference.removed == 3
    for table in ("referral_link", "officer", "campaign"):
        tracker.execute(f"DELETE FROM referrals.{table}")
    exporter.run()
    assert exporter.rows(OFFICER_SUMMARY) == [COLUMNS[OFFICER_SUMMARY]]
    assert exporter.rows(CAMPAIGN_SUMMARY) == [COLUMNS[CAMPAIGN_SUMMARY]]
    assert exporter.tabs()[OFFICER_SUMMARY].rows == 2


def test_without_any_event_there_are_headers(exporter: Exporter):
    done = exporter.run()
    assert exporter.rows(RAW_DATA) == [COLUMNS[RAW_DATA]]
    assert done.worksheets[RAW_DATA].rows == 0
    assert exporter.run().writes == 0


def test_a_text_that_looks_like_a_formula_stays_a_text(exporter: Exporter, tracker: Tracker):
    texts = ["=1+1", "+84 90", "-1", "@SUM(A1)", "\tx", "'x", "007", "TRUE", "\N{FULLWIDTH EQUALS SIGN}1"]
    for number, text in enumerate(texts):
        tracker.click(user_agent=text, at=MOMENT + timedelta(seconds=number))
        tracker.officer(f"officer-{number}", full_name=text)
        tracker.campaign(f"campaign-{number}", name=text)
    exporter.run()
    assert agents(exporter.rows(RAW_DATA)) == texts
    assert sorted(row[1] for row in exporter.rows(OFFICER_SUMMARY)[1:]) == sorted(texts)
    assert sorted(row[1] for row in exporter.rows(CAMPAIGN_SUMMARY)[1:]) == sorted(texts)
    assert exporter.run().writes == 0


def test_a_text_that_no_cell_takes_is_cut_and_the_rest_of_its_row_is_there(exporter: Exporter, tracker: Tracker):
    tracker.click(user_agent="x" * 60_000)
    tracker.click(user_agent="short")
    done = exporter.run()
    assert done.cells_cut == 1
    assert sorted(map(len, agents(exporter.rows(RAW_DATA)))) == [5, 50_000]
    assert exporter.run().writes == 0


def test_requests_stay_below_the_advised_size(exporter: Exporter, tracker: Tracker):
    for number in range(40):
        tracker.click(user_agent=f"{number:02}" + "x" * 500)
    exporter.limits = ExportLimits(request_bytes=5_000)
    done = exporter.run([RAW_DATA])
    assert len(agents(exporter.rows(RAW_DATA))) == 40
    writes = [call for call in exporter.arrived() if call == "POST /values:batchUpdate"]
    assert len(writes) > 4
    assert done.writes == len(writes) + 2


def test_of_raw_data_only_the_end_is_read():
    tabs = {name: SheetInfo(number, name, number, hidden=False, rows=701, columns=9) for number, name in enumerate(ALL)}
    assert summary_ranges(tabs, ALL) == [f"'{name}'" for name in SUMMARIES]
    raw = RawData(last=700, stale=(), rows_per_tab=200_000)
    assert raw.ranges(tabs) == [f"'{RAW_DATA}'!A1:I1", f"'{RAW_DATA}'!A502:I701"]


def test_new_rows_are_appended_to_many_and_the_others_stay(exporter: Exporter, tracker: Tracker):
    tracker.execute(
        "INSERT INTO referrals.click_event (tenant_id, click_event_id, referral_link_id, occurred_at, user_agent)"
        " SELECT 'acme', 'many-' || n, 'link-1', %s + n * interval '1 second', 'agent ' || n"
        " FROM generate_series(1, 700) AS n",
        [MOMENT],
    )
    exporter.run()
    tracker.click(at=MOMENT + timedelta(days=1), user_agent="last")
    found = exporter.run().worksheets[RAW_DATA].difference
    assert (found.before, found.after, found.added, found.changed) == (700, 701, 1, 0)
    assert agents(exporter.rows(RAW_DATA)) == [*(f"agent {number}" for number in range(1, 701)), "last"]
    assert exporter.run().writes == 0


def test_progress_is_told_by_rows_that_are_laid_out(exporter: Exporter, tracker: Tracker):
    tracker.click()
    told: list[tuple[int, int | None]] = []
    exporter.run(progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 1 + 1 + 91 + 1 + 4), (98, 98)]


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(exporter: Exporter, tracker: Tracker):
    tracker.click()
    exporter.run()
    tracker.click(user_agent="new")
    tracker.officer("officer-1", full_name="Lan Tran")
    tracker.officer("officer-2", full_name="Binh")
    before = exporter.contents()
    exporter.arrived()
    found = exporter.run(dry_run=True)
    assert exporter.arrived() == READ_ONLY
    assert exporter.contents() == before
    assert exporter.ledger() == ["confirmed"]
    assert (found.export_id, found.writes) == (None, 0)
    raw, officers = (found.worksheets[name].difference for name in (RAW_DATA, OFFICER_SUMMARY))
    assert (raw.before, raw.after, raw.added) == (1, 2, 1)
    assert (officers.before, officers.after, officers.added, officers.changed) == (1, 2, 1, 1)
    assert officers.sample == [
        (["officer-1", "Lan Nguyen", 1, 0, 0], ["officer-1", "Lan Tran", 2, 0, 0]),
        (None, ["officer-2", "Binh", 0, 0, 0]),
    ]
    done = exporter.run()
    assert {name: each.difference for name, each in done.worksheets.items()} == {
        name: each.difference for name, each in found.worksheets.items()
    }


def test_a_dry_run_counts_all_that_waits_however_many_changes_it_takes(exporter: Exporter, tracker: Tracker):
    for _ in range(7):
        tracker.click()
    exporter.limits = ExportLimits(rows_per_tab=3)
    assert exporter.run(dry_run=True).worksheets[RAW_DATA].difference.added == 7


def test_a_row_of_an_erased_person_is_written_again_without_them(exporter: Exporter, tracker: Tracker):
    for number in range(6):
        tracker.signup(click=tracker.click(user_agent=f"agent {number}"), email=f"{number}@example.com")
    exporter.run()
    before = exporter.rows(RAW_DATA)
    tracker.execute("UPDATE referrals.signup_event SET email = NULL, erased_at = now() WHERE email = '3@example.com'")
    tracker.execute(
        "UPDATE referrals.click_event SET ip = NULL, user_agent = NULL, erased_at = now() WHERE user_agent = 'agent 3'"
    )
    erased = [index for index, row in enumerate(before) if row[8:] == ["agent 3"]]
    tracker.execute("UPDATE referrals.exported_event SET stale = true WHERE position = ANY(%s)", [erased])
    done = exporter.run([RAW_DATA])
    expected = [row[:6] if index in erased else row for index, row in enumerate(before)]
    assert exporter.rows(RAW_DATA) == expected
    found = done.worksheets[RAW_DATA].difference
    assert (found.added, found.changed) == (0, 2)
    assert not tracker.rows("SELECT FROM referrals.exported_event WHERE stale")
    assert exporter.run([RAW_DATA]).writes == 0


def test_while_a_person_is_erased_nothing_of_them_is_read(exporter: Exporter, tracker: Tracker, warehouse: Warehouse):
    tracker.click()
    exporter.limits = ExportLimits(wait_seconds=0.1)
    with (
        connect(warehouse.settings) as other,
        locks.held(other, locks.erasure("acme")),
        pytest.raises(BusyError, match="somebody is being erased"),
    ):
        exporter.run()
    exporter.run()
    assert exporter.ledger() == ["failed", "confirmed"]


def test_two_exports_at_once_leave_what_one_would(exporter: Exporter, tracker: Tracker, warehouse: Warehouse):
    for number in range(20):
        tracker.click(user_agent=str(number), at=MOMENT + timedelta(seconds=number))
    outcomes: list[Any] = []
    ready = threading.Barrier(2)

    def work() -> None:
        with (
            connect(warehouse.settings) as connection,
            Exporter(Tracker(connection, tracker.tenant), exporter.stub, ExportLimits(wait_seconds=0.05)) as mine,
        ):
            ready.wait()
            try:
                outcomes.append(mine.run())
            except BusyError as error:
                outcomes.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 2
    assert sum(isinstance(each, BusyError) for each in outcomes) <= 1
    assert agents(exporter.rows(RAW_DATA)) == [str(number) for number in range(20)]
    assert set(exporter.ledger()) <= {"confirmed", "unchanged"}


def test_another_export_to_the_same_spreadsheet_is_told_to_wait(
    exporter: Exporter, tracker: Tracker, warehouse: Warehouse
):
    tracker.click()
    exporter.limits = ExportLimits(wait_seconds=0.1)
    lock = locks.spreadsheet(exporter.stub.spreadsheet_id, link="")
    with (
        connect(warehouse.settings) as other,
        locks.held(other, lock),
        pytest.raises(BusyError, match="Another export"),
    ):
        exporter.run()
    assert exporter.arrived() == []
    assert exporter.ledger() == []


def test_two_tenants_are_not_written_into_one_spreadsheet(exporter: Exporter, tracker: Tracker):
    tracker.click()
    exporter.run()
    before = exporter.contents()
    tenants.add(tracker.connection, "harbour", arango_database="harbour")
    harbour = Tracker(tracker.connection, tenants.get(tracker.connection, "harbour"))
    harbour.begin()
    with pytest.raises(ConfigurationError, match=r"worksheets of tenant acme.*--google-sheet-id"):
        replace(exporter, tracker=harbour).run()
    assert exporter.contents() == before
    assert [row[0] for row in harbour.rows("SELECT state FROM referrals.sheet_export")] == ["failed"]


def test_two_tenants_see_nothing_of_each_other(exporter: Exporter, tracker: Tracker):
    tenants.add(tracker.connection, "harbour", arango_database="harbour")
    harbour = Tracker(tracker.connection, tenants.get(tracker.connection, "harbour"))
    harbour.begin()
    harbour.click(user_agent="harbour")
    tracker.click(user_agent="acme", event_id="click-1")
    exporter.run()
    other = replace(exporter, tracker=harbour, spreadsheet_id=exporter.stub.new_spreadsheet(exporter.stub.account))
    other.run()
    assert agents(other.rows(RAW_DATA)) == ["harbour"]
    assert agents(exporter.rows(RAW_DATA)) == ["acme"]


def test_a_new_spreadsheet_begins_with_all_events(exporter: Exporter, tracker: Tracker):
    tracker.click(user_agent="one")
    exporter.run()
    exporter.spreadsheet_id = exporter.stub.new_spreadsheet(exporter.stub.account)
    tracker.click(user_agent="two", at=datetime(2026, 3, 6, tzinfo=UTC))
    exporter.run()
    assert agents(exporter.rows(RAW_DATA)) == ["one", "two"]
