"""`spreadsheets.values`: what is written, where it goes, and how it is answered."""

from typing import Any

import gspread
import httpx2
import pytest
from gspread.utils import Dimension, InsertDataOption, ValueInputOption, ValueRenderOption

from cdp_platform_tests.sandbox.sheets.conftest import Google, refused

TYPED = ValueInputOption.user_entered
PLAIN = ValueRenderOption.unformatted


def plain(sheet: gspread.Worksheet, where: str | None = None) -> Any:
    return sheet.get(where, value_render_option=PLAIN)


def test_a_raw_formula_stays_text(sheet: gspread.Worksheet) -> None:
    texts = ["=1+1", "+84 901", "-x", "@sum", "'quoted", "0042", "TRUE", "2026-01-02", " blank "]
    sheet.update([texts], "A1", raw=True)
    assert sheet.get_all_values() == plain(sheet) == [texts]
    assert sheet.get(value_render_option=ValueRenderOption.formula) == [texts]


def test_a_formula_that_would_be_computed_is_refused(sheet: gspread.Worksheet) -> None:
    with refused(501, "formulas"):
        sheet.update([["fine", "=1+1"]], "A1", raw=False)
    assert sheet.get_all_values() == [[]]


@pytest.mark.parametrize("text", ["+84 901 234", "$5", "1/2", "12:30", "Jan 5", "10 am", "-total"])
def test_what_google_reads_in_a_way_not_known_here_is_refused(sheet: gspread.Worksheet, text: str) -> None:
    with refused(501, "a reading of"):
        sheet.update([[text]], "A1", raw=False)


@pytest.mark.parametrize(
    ("typed", "value", "shown"),
    [
        ("42", 42, "42"),
        ("0042", 42, "42"),
        ("-1.50", -1.5, "-1.5"),
        ("1e3", 1000, "1000"),
        ("1,234,567.5", 1234567.5, "1,234,567.50"),
        ("12%", 0.12, "12%"),
        ("12.5%", 0.125, "12.50%"),
        ("true", True, "TRUE"),
        ("2020-01-01", 43831, "2020-01-01"),
        ("1/2/1999", 36162, "1/2/1999"),
        ("2020-01-01 06:00:00", 43831.25, "2020-01-01 6:00:00"),
        ("2020-02-30", "2020-02-30", None),
        ("'2020-01-01", "2020-01-01", "2020-01-01"),
        ("plain text", "plain text", "plain text"),
        (7.25, 7.25, "7.25"),
        (False, False, "FALSE"),
    ],
)
def test_typed_values_are_read_as_a_person_means_them(
    sheet: gspread.Worksheet, typed: Any, value: Any, shown: str | None
) -> None:
    if shown is None:
        with refused(501, "a reading of"):
            sheet.update([[typed]], "B2", value_input_option=TYPED)
        return
    sheet.update([[typed]], "B2", value_input_option=TYPED)
    assert plain(sheet, "B2") == [[value]]
    assert sheet.get("B2") == [[shown]]


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (1 / 3, "0.3333333333"),
        (3.141592653589793, "3.141592654"),
        (123456789012345, "123456789012345"),
        (31415926535.897932, "31415926536"),
        (1e15, "1E+15"),
        (0.00001234, "0.00001234"),
        (-2.5e-9, "-2.5E-09"),
        (5.0, "5"),
    ],
)
def test_numbers_are_shown_with_ten_digits(sheet: gspread.Worksheet, number: float, shown: str) -> None:
    sheet.update([[number]], "A1")
    assert sheet.get("A1") == [[shown]]
    assert plain(sheet, "A1") == [[number]]


def test_null_leaves_a_cell_and_an_empty_text_empties_it(sheet: gspread.Worksheet) -> None:
    sheet.update([["a", "b", "c"]], "A1")
    answer = sheet.update([[None, "", "C"]], "A1")
    assert answer["updatedCells"] == 2
    assert sheet.get("A1:C1") == [["a", "", "C"]]


def test_empty_cells_and_rows_at_the_end_are_not_answered(sheet: gspread.Worksheet) -> None:
    sheet.update([["A1", "", "C1", ""], ["", "B2"], [""], ["A4"]], "A1")
    raw = sheet.client.values_get(sheet.spreadsheet_id, "Sheet1")
    assert raw == {
        "range": "Sheet1!A1:Z1000",
        "majorDimension": "ROWS",
        "values": [["A1", "", "C1"], ["", "B2"], [], ["A4"]],
    }
    assert sheet.client.values_get(sheet.spreadsheet_id, "Sheet1!D1:E9") == {
        "range": "Sheet1!D1:E9",
        "majorDimension": "ROWS",
    }
    columns = sheet.get("A1:D4", major_dimension=Dimension.cols)
    assert columns == [["A1", "", "", "A4"], ["", "B2"], ["C1"]]


def test_columns_are_written_as_columns(sheet: gspread.Worksheet) -> None:
    sheet.update([["a", "b"], ["c"]], "B2", major_dimension=Dimension.cols)
    assert sheet.get("B2:C3") == [["a", "c"], ["b"]]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("Sheet1!B2", "Sheet1!B2"),
        ("B2:C3", "Sheet1!B2:C3"),
        ("C3:B2", "Sheet1!B2:C3"),
        ("$B$2", "Sheet1!B2"),
        ("sheet1!b2", "Sheet1!B2"),
        ("Sheet1!A:B", "Sheet1!A1:B1000"),
        ("Sheet1!2:3", "Sheet1!A2:Z3"),
        ("Sheet1!A5:A", "Sheet1!A5:A1000"),
        ("Sheet1!A2:2", "Sheet1!A2:Z2"),
        ("'Sheet1'", "Sheet1!A1:Z1000"),
        ("Sheet1!Y999:ZZ5000", "Sheet1!Y999:Z1000"),
    ],
)
def test_ranges_are_understood_and_answered_as_google_writes_them(
    book: gspread.Spreadsheet, asked: str, answered: str
) -> None:
    assert book.values_get(asked)["range"] == answered


def test_titles_are_quoted_where_they_have_to_be(book: gspread.Spreadsheet) -> None:
    for title, answered in (
        ("it's / a: tab!", "'it''s / a: tab!'!A1"),
        ("D3", "'D3'!A1"),
        ("Tracker_Raw_Data", "Tracker_Raw_Data!A1"),
        ("Báo cáo 🌵", "'Báo cáo 🌵'!A1"),
    ):
        added = book.add_worksheet(title, 2, 2)
        assert added.update([["x"]], "A1")["updatedRange"] == answered
        assert added.get_all_values() == [["x"]]


@pytest.mark.parametrize("asked", ["Nowhere!A1", "Nowhere", "Sheet1!", "Sheet1!A0", "A1:B2:C3", "Sheet1!1A"])
def test_an_unknown_range_is_refused(book: gspread.Spreadsheet, asked: str) -> None:
    with refused(400, f"Unable to parse range: {asked}"):
        book.values_get(asked)


def test_nothing_is_written_beyond_the_grid(sheet: gspread.Worksheet) -> None:
    with refused(400, "Range (Sheet1!A1000:A1001) exceeds grid limits. Max rows: 1000, max columns: 26"):
        sheet.update([["in"], ["out"]], "A1000")
    with refused(400, "exceeds grid limits"):
        sheet.update([["a"] * 27], "A1")
    with refused(400, "Range (Sheet1!A1001) exceeds grid limits"):
        sheet.get("A1001")
    assert sheet.get_all_values() == [[]]


def test_nothing_is_written_beyond_the_range(sheet: gspread.Worksheet) -> None:
    with refused(400, "Requested writing within range [Sheet1!A1:B1], but tried writing to row [2]"):
        sheet.update([["a"], ["b"]], "A1:B1")
    with refused(400, "tried writing to column [C]"):
        sheet.update([["a", "b", "c"]], "A1:B1")


def test_a_cell_holds_50000_characters_and_no_more(sheet: gspread.Worksheet) -> None:
    sheet.update([["x" * 50_000]], "A1")
    with refused(400, "Your input contains more than the maximum of 50000 characters in a single cell."):
        sheet.update([["y"], ["x" * 50_001]], "A1")
    assert sheet.acell("A1").value == "x" * 50_000


def test_what_no_cell_holds_is_refused(sheet: gspread.Worksheet) -> None:
    for value in ([1], {"a": 1}):
        with refused(400, "is no value of a cell"):
            sheet.update([[value]], "A1")


def test_append_writes_below_the_table_and_grows_the_grid(book: gspread.Spreadsheet) -> None:
    sheet = book.add_worksheet("short", 3, 3)
    assert "tableRange" not in sheet.append_row(["a", "b"])
    answer = sheet.append_rows([["c", "d"], ["e", "f"], ["g"]])
    assert answer["tableRange"] == "short!A1:B1"
    assert answer["updates"] == {
        "spreadsheetId": book.id,
        "updatedRange": "short!A2:B4",
        "updatedRows": 3,
        "updatedColumns": 2,
        "updatedCells": 5,
    }
    grown = book.worksheet("short")
    assert (grown.row_count, grown.get_all_values()) == (4, [["a", "b"], ["c", "d"], ["e", "f"], ["g", ""]])
    with refused(400, "exceeds grid limits"):
        sheet.append_row(["too", "many", "columns", "here"])


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("Tables", "B7"),
        ("Tables!B4", "B7"),
        ("Tables!C5:D5", "B7"),
        ("Tables!B2:D4", "B7"),
        ("Tables!A1", "A3"),
        ("Tables!E4", "E4"),
        ("Tables!A4", "A4"),
    ],
)
def test_append_finds_the_table_as_googles_guide_says(book: gspread.Spreadsheet, asked: str, written: str) -> None:
    tables = book.add_worksheet("Tables", 20, 8)
    tables.batch_update(
        [
            {"range": "A1:C2", "values": [["x", "y", "z"], [1, 2, 3]]},
            {"range": "B4:D6", "values": [["x", "y", "z"], [1, 2, 3], [4, 5, 6]]},
        ]
    )
    answer = book.values_append(asked, {"valueInputOption": "RAW"}, {"values": [["new"]]})
    assert answer["updates"]["updatedRange"] == f"Tables!{written}"


def test_an_empty_column_makes_two_tables_of_one(sheet: gspread.Worksheet) -> None:
    sheet.append_row(["a", "", "b"])
    assert sheet.append_row(["a", "", "b"])["updates"]["updatedRange"] == "Sheet1!C2:E2"
    assert sheet.append_row(["a", "", "b"], table_range="A1")["updates"]["updatedRange"] == "Sheet1!A2:C2"


def test_append_can_insert_rows_before_what_stands_below(sheet: gspread.Worksheet) -> None:
    sheet.update([["a"], [""], ["below"]], "A1")
    sheet.append_rows([["b"], ["c"]], table_range="A1", insert_data_option=InsertDataOption.insert_rows)
    assert sheet.col_values(1) == ["a", "b", "c", "", "below"]
    sheet.append_rows([["d"], ["e"]], table_range="A1")
    assert sheet.col_values(1) == ["a", "b", "c", "d", "e"]


def test_clear_empties_what_it_names_alone(sheet: gspread.Worksheet) -> None:
    sheet.update([["a", "b", "c"]] * 3, "A1")
    assert sheet.batch_clear(["B1:B2", "C3:Z9999"])["clearedRanges"] == ["Sheet1!B1:B2", "Sheet1!C3:Z1000"]
    assert sheet.get_all_values() == [["a", "", "c"], ["a", "", "c"], ["a", "b", ""]]
    assert sheet.clear()["clearedRange"] == "Sheet1!A1:Z1000"
    assert sheet.get_all_values() == [[]]


def test_many_ranges_are_written_and_read_at_once(book: gspread.Spreadsheet) -> None:
    book.add_worksheet("Two", 5, 5)
    data = [
        {"range": "Sheet1!A1:B1", "values": [["a", 1.5]]},
        {"range": "Two!C3", "majorDimension": "COLUMNS", "values": [["x", True], ["y"]]},
    ]
    answer = book.values_batch_update({"valueInputOption": "RAW", "data": data, "includeValuesInResponse": True})
    assert {name: value for name, value in answer.items() if name != "responses"} == {
        "spreadsheetId": book.id,
        "totalUpdatedRows": 3,
        "totalUpdatedColumns": 4,
        "totalUpdatedCells": 5,
        "totalUpdatedSheets": 2,
    }
    assert [one["updatedRange"] for one in answer["responses"]] == ["Sheet1!A1:B1", "Two!C3:D4"]
    assert answer["responses"][1]["updatedData"]["values"] == [["x", "y"], ["TRUE"]]
    read = book.values_batch_get(["Sheet1!A1:B1", "Two!C:D"], {"valueRenderOption": "UNFORMATTED_VALUE"})
    assert [one["values"] for one in read["valueRanges"]] == [[["a", 1.5]], [[], [], ["x", "y"], [True]]]


def test_rows_and_columns_that_nulls_leave_as_they_are_are_not_counted(book: gspread.Spreadsheet) -> None:
    values = [[None, "a", None], [None, None, None], ["b", "", None]]
    book.sheet1.update([["x"] * 3] * 3, "B2")
    answer = book.values_update("B2", {"valueInputOption": "RAW"}, {"values": values})
    assert answer == {
        "spreadsheetId": book.id,
        "updatedRange": "Sheet1!B2:D4",
        "updatedRows": 2,
        "updatedColumns": 2,
        "updatedCells": 3,
    }
    assert book.sheet1.get("B2:D4") == [["x", "a", "x"], ["x", "x", "x"], ["b", "", "x"]]
    appended = book.values_append("Sheet1!B2", {"valueInputOption": "RAW"}, {"values": [[None, "c"], []]})["updates"]
    assert (appended["updatedRows"], appended["updatedColumns"], appended["updatedCells"]) == (1, 1, 1)
    data = [{"range": "A1", "values": [[None, 1], [None, None]]}, {"range": "B1", "values": [[2, None]]}]
    totals = book.values_batch_update({"valueInputOption": "RAW", "data": data})
    assert (totals["totalUpdatedRows"], totals["totalUpdatedColumns"], totals["totalUpdatedCells"]) == (1, 1, 2)
    nothing = book.values_batch_update({"valueInputOption": "RAW", "data": [{"range": "A1", "values": [[None]]}]})
    assert nothing.keys() == {"spreadsheetId", "responses"}


def test_a_named_range_is_found_alone_and_behind_its_sheets_title(book: gspread.Spreadsheet) -> None:
    book.add_worksheet("My 'other' sheet", 5, 5)
    book.sheet1.define_named_range("B2:C3", "Prices")
    book.sheet1.define_named_range("D4", "Sheet1")
    for asked in ("Prices", "prices", "Sheet1!Prices", "'Sheet1'!PRICES"):
        assert book.values_get(asked)["range"] == "Sheet1!B2:C3"
    # gspread puts the title before whatever is asked for.
    book.sheet1.update([["a", "b"]], "Prices")
    assert book.sheet1.get("Prices") == [["a", "b"]]
    assert (book.values_get("Sheet1")["range"], book.values_get("'Sheet1'")["range"]) == (
        "Sheet1!D4",
        "Sheet1!A1:Z1000",
    )
    for wrong in ("'My ''other'' sheet'!Prices", "Gone!Prices", "Sheet1!Gone"):
        with refused(400, "Unable to parse range: "):
            book.values_get(wrong)


def test_a_batch_of_ranges_with_a_bad_one_writes_none(book: gspread.Spreadsheet) -> None:
    data = [{"range": "Sheet1!A1", "values": [["a"]]}, {"range": "Gone!A1", "values": [["b"]]}]
    with refused(400, "Invalid data[1]: Unable to parse range: Gone!A1"):
        book.values_batch_update({"valueInputOption": "RAW", "data": data})
    assert book.sheet1.get_all_values() == [[]]


def test_what_is_not_said_or_not_known_is_refused(book: gspread.Spreadsheet) -> None:
    with refused(400, "'valueInputOption' is required"):
        book.values_update("A1", {}, {"values": [["a"]]})
    wrong: list[Any] = [{"valueInputOption": "MAYBE"}, {"valueInputOption": "RAW", "whatever": "1"}]
    for params in wrong:
        with refused(400, "Invalid"):
            book.values_update("A1", params, {"values": [["a"]]})
    for body in ({"values": "a"}, {"values": ["a"]}, {"rows": []}, {"values": [["a"]], "range": "B1"}):
        with refused(400, ""):
            book.values_update("A1", {"valueInputOption": "RAW"}, body)
    assert book.sheet1.get_all_values() == [[]]


def test_a_request_above_ten_megabytes_is_refused_whole(google: Google, sheet: gspread.Worksheet) -> None:
    rows = [["x" * 40_000]] * 263
    with refused(413, "Request payload size exceeds the limit: 10485760 bytes."):
        sheet.update(rows, "A1")
    sheet.update(rows[:261], "A1")
    assert len(sheet.col_values(1)) == 261


def test_a_hundred_thousand_rows_go_in_and_are_read(google: Google, unlimited: None) -> None:
    book = google.client().open_by_key(google.new())
    sheet = book.add_worksheet("big", 100_000, 9)
    rows = [[number, f"row {number}", number / 8, True, "v", "x", "y", "z", "w"] for number in range(100_000)]
    for start in range(0, len(rows), 25_000):
        sheet.update(rows[start : start + 25_000], f"A{start + 1}")
    assert sheet.append_row(["last"])["updates"]["updatedRange"] == "big!A100001"
    assert plain(sheet, "A100000:I") == [[99_999, "row 99999", 12499.875, True, "v", "x", "y", "z", "w"], ["last"]]
    page = httpx2.get(f"{google.base}/{book.id}", timeout=30)
    assert page.status_code == 200
