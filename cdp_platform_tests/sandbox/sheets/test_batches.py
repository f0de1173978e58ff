"""`spreadsheets.batchUpdate` and `get`: sheets, cells, rows and columns, and what of them is answered."""

from typing import Any

import gspread
import pytest
from gspread.utils import ValueRenderOption, a1_range_to_grid_range

from cdp_platform_tests.sandbox.sheets.conftest import Batch, Google, refused

PLAIN = ValueRenderOption.unformatted
BOLD = {"textFormat": {"bold": True}}


def box(where: str, sheet_id: int = 0) -> dict[str, int]:
    return a1_range_to_grid_range(where, sheet_id)


def cells(*rows: list[Any]) -> list[dict[str, Any]]:
    """Rows as Google's `RowData`."""

    def value(one: Any) -> dict[str, Any]:
        kind = {bool: "boolValue", int: "numberValue", float: "numberValue", str: "stringValue"}[type(one)]
        return {"userEnteredValue": {kind: one}}

    return [{"values": [{} if one is None else value(one) for one in row]} for row in rows]


def copied(source: Any, destination: Any, **options: Any) -> dict[str, Any]:
    return {"copyPaste": {"source": source, "destination": destination, **options}}


def properties(title: str, fields: str, **options: Any) -> dict[str, Any]:
    return {"updateSheetProperties": {"properties": {"title": title, **options}, "fields": fields}}


def plain(sheet: gspread.Worksheet, where: str | None = None) -> Any:
    return sheet.get(where, value_render_option=PLAIN)


def test_sheets_are_added_renamed_moved_hidden_and_deleted_in_one_batch(
    book: gspread.Spreadsheet, batch: Batch
) -> None:
    grid = {"rowCount": 5, "columnCount": 3, "frozenRowCount": 1}
    replies = batch(
        {"addSheet": {"properties": {"sheetId": 7, "title": "New", "index": 0, "gridProperties": grid}}},
        {"addSheet": {}},
        properties("Old", "title", sheetId=0),
        {"updateSheetProperties": {"properties": {"sheetId": 7, "hidden": True}, "fields": "hidden"}},
        {"duplicateSheet": {"sourceSheetId": 7, "insertSheetIndex": 1, "newSheetId": 8, "newSheetName": "Twin"}},
        {"updateSheetProperties": {"properties": {"sheetId": 0, "index": 4}, "fields": "index"}},
    )
    assert replies[0] == {
        "addSheet": {
            "properties": {"sheetId": 7, "title": "New", "index": 0, "sheetType": "GRID", "gridProperties": grid}
        }
    }
    assert replies[1]["addSheet"]["properties"]["title"] == "Sheet3"
    assert replies[2:4] == [{}, {}]
    assert replies[4]["duplicateSheet"]["properties"]["hidden"] is True
    assert [(one.title, one.index, one.isSheetHidden) for one in book.worksheets()] == [
        ("New", 0, True),
        ("Twin", 1, True),
        ("Sheet3", 2, False),
        ("Old", 3, False),
    ]
    batch({"deleteSheet": {"sheetId": 7}}, {"deleteSheet": {"sheetId": 0}})
    assert [one.title for one in book.worksheets()] == ["Twin", "Sheet3"]


def test_a_name_that_is_taken_is_refused(book: gspread.Spreadsheet) -> None:
    book.add_worksheet("Data", 1, 1)
    with refused(400, 'Invalid requests[0].addSheet: A sheet with the name "data" already exists.'):
        book.add_worksheet("data", 1, 1)
    with refused(400, "Invalid requests[0].updateSheetProperties: A sheet with the name"):
        book.sheet1.update_title("Data")
    book.sheet1.update_title("SHEET1")
    with refused(400, "Sheet with id 0 already exists"):
        book.batch_update({"requests": [{"addSheet": {"properties": {"sheetId": 0}}}]})


def test_the_last_visible_sheet_stays(book: gspread.Spreadsheet) -> None:
    with refused(400, "Invalid requests[0].deleteSheet: You can't remove all the sheets in a document."):
        book.del_worksheet(book.sheet1)
    book.add_worksheet("hidden", 1, 1).hide()
    with refused(400, "You can't hide all the sheets in a document."):
        book.sheet1.hide()
    with refused(400, "You can't remove all the visible sheets in a document."):
        book.del_worksheet(book.sheet1)


def test_a_field_mask_says_what_is_changed(book: gspread.Spreadsheet, batch: Batch) -> None:
    color = {"red": 1, "green": 0.5}
    change: dict[str, Any] = {"sheetId": 0, "title": "Renamed", "hidden": True, "tabColorStyle": {"rgbColor": color}}
    change["gridProperties"] = {"rowCount": 7, "frozenRowCount": 2}
    for fields in ("gridProperties.frozenRowCount,tabColorStyle", "gridProperties/frozenRowCount,tabColorStyle"):
        batch({"updateSheetProperties": {"properties": change, "fields": fields}})
    told = book.fetch_sheet_metadata()["sheets"][0]["properties"]
    assert told == {
        "sheetId": 0,
        "title": "Sheet1",
        "index": 0,
        "sheetType": "GRID",
        "gridProperties": {"rowCount": 1000, "columnCount": 26, "frozenRowCount": 2},
        "tabColor": color,
        "tabColorStyle": {"rgbColor": color},
    }
    with refused(400, "At least one field must be listed in 'fields'"):
        batch({"updateSheetProperties": {"properties": change}})
    with refused(400, "Invalid field: colour"):
        batch({"updateSheetProperties": {"properties": change, "fields": "colour"}})
    with refused(400, "can't freeze all"):
        book.sheet1.freeze(rows=1000)


def test_a_spreadsheet_holds_ten_million_cells_and_no_more(book: gspread.Spreadsheet) -> None:
    limit = "This action would increase the number of cells in the workbook above the limit of 10000000 cells."
    book.add_worksheet("large", 100_000, 99)
    book.sheet1.resize(cols=10)
    book.sheet1.resize(10_000)
    for grow in (
        lambda: book.sheet1.resize(rows=10_001),
        lambda: book.add_worksheet("more", 1, 1),
        lambda: book.sheet1.insert_row(["a"]),
        lambda: book.duplicate_sheet(0),
    ):
        with refused(400, limit):
            grow()
    # Sizes are taken one after the other, with the old one still there for the first.
    with refused(400, limit):
        book.sheet1.resize(20_000, 5)
    book.sheet1.resize(cols=5)
    book.sheet1.resize(20_000)


def test_values_and_formats_are_copied_and_repeated(book: gspread.Spreadsheet, batch: Batch) -> None:
    sheet = book.sheet1
    sheet.update([["a", 1], ["b", 2]], "A1")
    sheet.format("A1:B1", BOLD)
    batch(
        copied(box("A1:B2"), box("D1:E4")),
        copied(box("A1:B2"), box("G1:G1")),
        copied(box("A1:B2"), box("D6:E8"), pasteType="PASTE_VALUES"),
        copied(box("A1:A2"), box("G6"), pasteOrientation="TRANSPOSE"),
        copied(box("A1:B2"), box("J1:K2"), pasteType="PASTE_FORMAT"),
    )
    assert plain(sheet, "D1:H8") == [
        ["a", 1, "", "a", 1],
        ["b", 2, "", "b", 2],
        ["a", 1],
        ["b", 2],
        [],
        ["a", 1, "", "a", "b"],
        ["b", 2],
    ]
    assert formats(book, "D3:E3") == [[BOLD, BOLD]]
    assert formats(book, "D6:E7") == [[]]
    assert formats(book, "J1:K2") == [[BOLD, BOLD]]
    assert plain(sheet, "J1:K2") == [[]]


def test_a_whole_sheet_is_copied_over_another_with_its_empty_cells(book: gspread.Spreadsheet, batch: Batch) -> None:
    staging, shown = book.add_worksheet("staging", 4, 3), book.add_worksheet("shown", 4, 3)
    shown.update([["old"] * 3] * 4, "A1")
    staging.update([["new", 1], ["", 2]], "A1")
    batch(copied({"sheetId": staging.id}, {"sheetId": shown.id}))
    assert plain(shown) == [["new", 1], ["", 2]]
    staging.add_rows(1)
    with refused(400, "Invalid requests[0].copyPaste: Range (shown!A1:C5) exceeds grid limits."):
        batch(copied({"sheetId": staging.id}, {"sheetId": shown.id}))


def test_a_copy_over_itself_reads_before_it_writes(sheet: gspread.Worksheet, batch: Batch) -> None:
    sheet.update([["a"], ["b"], ["c"]], "A1")
    batch(copied(box("A1:A3"), box("A2")))
    assert sheet.col_values(1) == ["a", "a", "b", "c"]


def formats(book: gspread.Spreadsheet, where: str) -> list[list[Any]]:
    fields = "sheets.data.rowData.values.userEnteredFormat"
    (one,) = book.client.spreadsheets_get(book.id, {"ranges": where, "fields": fields})["sheets"]
    rows = one["data"][0].get("rowData", [])
    shown = [[cell.get("userEnteredFormat", {}) for cell in row.get("values", [])] for row in rows]
    while len(shown) > 1 and not any(shown[-1]):
        shown.pop()
    return [row if any(row) else [] for row in shown] or [[]]


def test_cells_are_updated_with_what_the_mask_says(sheet: gspread.Worksheet, batch: Batch) -> None:
    batch(
        {
            "updateCells": {
                "rows": cells(["=1+1", 2], [True]),
                "start": {"sheetId": 0, "rowIndex": 1, "columnIndex": 1},
                "fields": "userEnteredValue",
            }
        },
        {"appendCells": {"sheetId": 0, "rows": cells(["end"]), "fields": "userEnteredValue"}},
    )
    assert plain(sheet) == [[], ["", "=1+1", 2], ["", True], ["end"]]
    # In a range, what the rows do not cover is emptied.
    batch({"updateCells": {"rows": cells(["x"]), "range": box("B2:C3"), "fields": "userEnteredValue"}})
    assert plain(sheet) == [[], ["", "x"], [], ["end"]]
    batch({"updateCells": {"range": {"sheetId": 0}, "fields": "userEnteredValue"}})
    assert plain(sheet) == [[]]
    with refused(501, "formulas"):
        batch(
            {
                "updateCells": {
                    "rows": [{"values": [{"userEnteredValue": {"formulaValue": "=1"}}]}],
                    "range": box("A1"),
                    "fields": "*",
                }
            }
        )
    with refused(400, "Attempting to write row: 1, beyond the last requested row of: 0"):
        batch({"updateCells": {"rows": cells(["a"], ["b"]), "range": box("A1"), "fields": "*"}})
    with refused(400, "exceeds grid limits"):
        batch({"updateCells": {"rows": cells(["a"], ["b"]), "start": {"rowIndex": 999}, "fields": "*"}})


def test_appended_cells_grow_the_grid(book: gspread.Spreadsheet, batch: Batch) -> None:
    added = book.add_worksheet("small", 2, 2)
    batch({"appendCells": {"sheetId": added.id, "rows": cells(["a"], ["b"], ["c"]), "fields": "userEnteredValue"}})
    assert (book.worksheet("small").row_count, added.col_values(1)) == (3, ["a", "b", "c"])


def test_formats_notes_and_values_do_not_disturb_each_other(
    book: gspread.Spreadsheet, sheet: gspread.Worksheet
) -> None:
    sheet.update([["a", "b"]], "A1")
    sheet.insert_note("A1", "look here")
    sheet.format("A1:B1", {"backgroundColor": {"red": 1}, "horizontalAlignment": "CENTER"})
    sheet.format("A1", {"horizontalAlignment": "LEFT"})
    sheet.clear()
    assert sheet.get_note("A1") == "look here"
    color = {"backgroundColor": {"red": 1}, "backgroundColorStyle": {"rgbColor": {"red": 1}}}
    assert formats(book, "A1:B1") == [
        [color | {"horizontalAlignment": "LEFT"}, color | {"horizontalAlignment": "CENTER"}]
    ]
    sheet.clear_note("A1")
    sheet.client.batch_update(
        book.id, {"requests": [{"repeatCell": {"range": box("A1:B1"), "cell": {}, "fields": "userEnteredFormat"}}]}
    )
    assert (sheet.get_note("A1"), formats(book, "A1:B1")) == ("", [[]])


@pytest.mark.parametrize(
    ("kind", "pattern", "number", "shown"),
    [
        ("NUMBER", "0.00", 2.345, "2.35"),
        ("NUMBER", "#,##0", -1234567.5, "-1,234,568"),
        ("NUMBER", "", 1234.5, "1,234.50"),
        ("PERCENT", "0.0%", 0.1234, "12.3%"),
        ("CURRENCY", "", 1234.5, "$1,234.50"),
        ("DATE", "yyyy-mm-dd", 45_000, "2023-03-15"),
        ("DATE_TIME", "yyyy-mm-dd hh:mm:ss", 45_000.75, "2023-03-15 18:00:00"),
        ("TIME", "h:mm am/pm", 0.5, "12:00 PM"),
        ("SCIENTIFIC", "", 12345, "1.23E+04"),
    ],
)
def test_number_formats_show_numbers(
    sheet: gspread.Worksheet, kind: str, pattern: str, number: float, shown: str
) -> None:
    sheet.format("A1", {"numberFormat": {"type": kind} | ({"pattern": pattern} if pattern else {})})
    sheet.update([[number]], "A1")
    assert (sheet.get("A1"), plain(sheet, "A1")) == ([[shown]], [[number]])


def test_a_number_format_that_cannot_be_shown_is_refused(sheet: gspread.Worksheet) -> None:
    with refused(501, "the number format"):
        sheet.format("A1", {"numberFormat": {"type": "NUMBER", "pattern": "[Red]0;[Blue]-0"}})


def test_rows_and_columns_come_go_and_move_with_all_that_is_said_about_them(
    book: gspread.Spreadsheet, sheet: gspread.Worksheet, batch: Batch
) -> None:
    sheet.update([[f"{letter}{row}" for letter in "ABC"] for row in range(1, 5)], "A1")
    sheet.define_named_range("B2:C3", "middle")
    sheet.merge_cells("A4:B4")
    sheet.set_basic_filter("A1:C4")
    sheet.hide_rows(2, 3)

    def lines(dimension: str, start: int, end: int) -> dict[str, Any]:
        return {"sheetId": 0, "dimension": dimension, "startIndex": start, "endIndex": end}

    batch(
        {"insertDimension": {"range": lines("ROWS", 1, 3)}},
        {"insertDimension": {"range": lines("COLUMNS", 0, 1)}},
        {"deleteDimension": {"range": lines("ROWS", 0, 1)}},
    )
    assert plain(sheet) == [
        [],
        [],
        ["", "A2", "B2", "C2"],
        ["", "A3", "B3", "C3"],
        ["", "A4", "", "C4"],
    ]
    told = book.fetch_sheet_metadata()
    grid = told["sheets"][0]["properties"]["gridProperties"]
    assert (grid["rowCount"], grid["columnCount"]) == (1001, 27)
    assert told["namedRanges"][0]["range"] == box("C3:D4")
    assert told["sheets"][0]["merges"] == [box("B5:C5")]
    assert told["sheets"][0]["basicFilter"]["range"] == box("B1:D5")
    assert book.values_get("middle")["range"] == "Sheet1!C3:D4"
    rows = book.fetch_sheet_metadata({"fields": "sheets.data.rowMetadata"})["sheets"][0]["data"][0]["rowMetadata"]
    assert [index for index, one in enumerate(rows) if one.get("hiddenByUser")] == [3]
    sheet.unmerge_cells("B5:C5")
    batch(
        {"moveDimension": {"source": lines("ROWS", 2, 4), "destinationIndex": 0}},
        {"moveDimension": {"source": lines("COLUMNS", 1, 2), "destinationIndex": 4}},
        {"appendDimension": {"sheetId": 0, "dimension": "ROWS", "length": 9}},
    )
    assert plain(sheet) == [["", "B2", "C2", "A2"], ["", "B3", "C3", "A3"], [], [], ["", "", "C4", "A4"]]
    assert book.sheet1.row_count == 1010


def test_rows_and_columns_are_grouped(sheet: gspread.Worksheet) -> None:
    sheet.add_dimension_group_rows(2, 5)
    sheet.add_dimension_group_columns(0, 2)
    sheet.insert_rows([[""], [""]], 1)
    place = {"sheetId": 0, "dimension": "ROWS", "startIndex": 4, "endIndex": 7}
    assert sheet.list_dimension_group_rows() == [{"range": place, "depth": 1}]
    with refused(501, "groups of rows or columns that have some in common"):
        sheet.add_dimension_group_rows(5, 9)
    sheet.delete_dimension_group_columns(0, 2)
    assert sheet.list_dimension_group_columns() == []


def test_what_would_leave_no_grid_is_refused(sheet: gspread.Worksheet) -> None:
    with refused(400, "You can't delete all the rows"):
        sheet.delete_rows(1, 1000)
    sheet.freeze(rows=1)
    with refused(400, "not possible to delete all non-frozen rows"):
        sheet.delete_rows(2, 1000)
    with refused(400, "Cannot reach index 1001"):
        sheet.delete_rows(1000, 1001)
    sheet.delete_rows(1)
    assert sheet.spreadsheet.sheet1.frozen_row_count == 0


def test_rows_are_sorted_with_empty_cells_last(sheet: gspread.Worksheet) -> None:
    sheet.update([["b", 2], ["", 9], ["a", 2], [3, 1], [True, 0]], "A1")
    sheet.sort((1, "asc"), range="A1:B5")
    assert plain(sheet, "A1:B5") == [[3, 1], ["a", 2], ["b", 2], [True, 0], ["", 9]]
    sheet.sort((2, "des"), (1, "asc"), range="A1:B5")
    assert plain(sheet, "A1:B5") == [["", 9], ["a", 2], ["b", 2], [3, 1], [True, 0]]


def test_texts_are_found_and_replaced(sheet: gspread.Worksheet, batch: Batch) -> None:
    sheet.update([["aAa", "b"], ["xa", 5]], "A1")
    (reply,) = batch({"findReplace": {"find": "a", "replacement": "-", "sheetId": 0}})
    assert reply["findReplace"] == {
        "valuesChanged": 2,
        "rowsChanged": 2,
        "sheetsChanged": 1,
        "occurrencesChanged": 4,
    }
    assert plain(sheet) == [["---", "b"], ["x-", 5]]


def test_only_the_first_value_of_merged_cells_stays(book: gspread.Spreadsheet, sheet: gspread.Worksheet) -> None:
    sheet.update([["a", "b"], ["c", "d"]], "A1")
    sheet.merge_cells("A1:B2")
    assert plain(sheet) == [["a"]]
    with refused(400, "You must select all cells in a merged range"):
        sheet.merge_cells("B2:C3")
    sheet.unmerge_cells("A1:B2")
    assert "merges" not in book.fetch_sheet_metadata()["sheets"][0]


def test_a_sheet_is_copied_to_another_spreadsheet(google: Google, book: gspread.Spreadsheet) -> None:
    other = google.client().open_by_key(google.new())
    book.sheet1.update([["a"]], "A1")
    told = book.sheet1.copy_to(other.id)
    assert (told["title"], told["index"]) == ("Copy of Sheet1", 1)
    assert other.worksheet("Copy of Sheet1").acell("A1").value == "a"
    assert book.sheet1.copy_to(other.id)["title"] == "Copy of Sheet1 2"


def test_an_answer_has_what_its_mask_names(google: Google, book: gspread.Spreadsheet) -> None:
    whole = book.fetch_sheet_metadata()
    assert whole.keys() == {"spreadsheetId", "properties", "sheets", "spreadsheetUrl"}
    assert whole["spreadsheetUrl"] == f"{google.base}/d/{book.id}/edit"
    asked = "spreadsheetId,sheets(properties(sheetId,title))"
    assert book.fetch_sheet_metadata({"fields": asked}) == {
        "spreadsheetId": book.id,
        "sheets": [{"properties": {"sheetId": 0, "title": "Sheet1"}}],
    }
    book.sheet1.update([["a", 1.5]], "B2")
    grid = book.fetch_sheet_metadata({"includeGridData": "true", "ranges": "B2:C2"})["sheets"][0]["data"][0]
    assert (grid["startRow"], grid["startColumn"]) == (1, 1)
    assert grid["rowData"][0]["values"][1] == {
        "userEnteredValue": {"numberValue": 1.5},
        "effectiveValue": {"numberValue": 1.5},
        "formattedValue": "1.5",
    }
    with refused(400, "Cannot find matching fields for path 'sheets.color'"):
        book.fetch_sheet_metadata({"fields": "sheets.color"})


def test_an_answer_to_a_batch_may_have_the_spreadsheet(book: gspread.Spreadsheet) -> None:
    answer = book.batch_update({"requests": [properties("Seen", "title")], "includeSpreadsheetInResponse": True})
    assert answer["updatedSpreadsheet"]["sheets"][0]["properties"]["title"] == "Seen"
    assert "data" not in answer["updatedSpreadsheet"]["sheets"][0]


@pytest.mark.parametrize(
    ("requests", "code", "says"),
    [
        ([], 400, "Must specify at least one request."),
        ([{}], 400, "exactly one request"),
        ([{"addSheet": {}, "deleteSheet": {}}], 400, "exactly one request"),
        ([{"makeCoffee": {}}], 400, 'Unknown name "makeCoffee"'),
        ([{"addChart": {}}], 501, "addChart"),
        ([{"deleteSheet": {"sheetId": 9}}], 400, "No grid with id: 9"),
        ([{"deleteSheet": {"sheetId": "x"}}], 400, "TYPE_INT32"),
        ([{"deleteSheet": {"sheet": 0}}], 400, 'Unknown name "sheet"'),
        ([{"addSheet": {"properties": {"sheetType": "OBJECT"}}}], 501, "OBJECT"),
        ([{"addSheet": {"properties": {"title": "x" * 101}}}], 400, "greater than 100 characters"),
        ([{"repeatCell": {"range": box("A1:A1001"), "cell": {}, "fields": "note"}}], 400, "exceeds grid limits"),
        ([{"repeatCell": {"range": {"startRowIndex": 5, "endRowIndex": 5}, "fields": "note"}}], 400, "GridRange"),
        ([copied(box("A1"), box("A1"), pasteType="PASTE_NO_BORDERS")], 501, "PASTE_NO_BORDERS"),
        ([{"appendDimension": {"sheetId": 0, "length": 1}}], 400, "dimension is required"),
        ([{"appendDimension": {"sheetId": 0, "dimension": "ROWS"}}], 400, "length"),
    ],
)
def test_what_cannot_be_done_is_refused_and_said(
    book: gspread.Spreadsheet, requests: list[Any], code: int, says: str
) -> None:
    with refused(code, says):
        book.batch_update({"requests": requests})
