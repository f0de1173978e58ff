"""`spreadsheets.get`: a spreadsheet as Google's JSON, with the cells where they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cdp_sandbox.sheets.cells import shown
from cdp_sandbox.sheets.errors import RefusalError
from cdp_sandbox.sheets.grid import Decoration, Row, Sheet, Spreadsheet, Value
from cdp_sandbox.sheets.lookup import as_grid_range, resolve
from cdp_sandbox.sheets.masks import Mask, apply, parse
from cdp_sandbox.sheets.ranges import Box

# Fields that an answer may have, so that one which nobody knows is told from one that is empty.
_KNOWN = parse(
    "spreadsheetId,properties(title,locale,autoRecalc,timeZone),namedRanges,spreadsheetUrl,sheets("
    "properties(sheetId,title,index,sheetType,hidden,tabColor,tabColorStyle,"
    "gridProperties(rowCount,columnCount,frozenRowCount,frozenColumnCount,hideGridlines)),"
    "merges,basicFilter,protectedRanges,rowGroups,columnGroups,data(startRow,startColumn,rowMetadata,columnMetadata,"
    "rowData/values(userEnteredValue,effectiveValue,formattedValue,userEnteredFormat,note)))"
)


def describe(
    spreadsheet: Spreadsheet,
    url: str,
    *,
    ranges: Sequence[str] = (),
    with_cells: bool = False,
    mask: Mask | None = None,
) -> dict[str, Any]:
    """Return a spreadsheet with the sheets that the ranges are in, all if there are none.

    Args:
        url: Where a person finds it.
        ranges: A1 ranges; only their cells are answered.
        with_cells: Whether the cells are answered, unless a mask says so.
        mask: Which fields are answered.

    Raises:
        RefusalError: 400, there is no such range, or no field of such a name.
    """
    mask = mask or {}
    _require_known(mask, _KNOWN, "")
    targets = [resolve(spreadsheet, one) for one in ranges]
    with_cells = "data" in mask["sheets"] or not mask["sheets"] if "sheets" in mask else with_cells and not mask
    sheets = []
    for sheet in spreadsheet.sheets:
        boxes = [one.clipped() for one in targets if one.sheet is sheet] if targets else [sheet.box]
        if boxes:
            cells = {"data": [_data(sheet, box) for box in boxes]} if with_cells else {}
            sheets.append({"properties": properties(sheet), **_marks(sheet), **cells})
    answer = {
        "spreadsheetId": spreadsheet.id,
        "properties": {
            "title": spreadsheet.title,
            "locale": spreadsheet.locale,
            "autoRecalc": "ON_CHANGE",
            "timeZone": spreadsheet.time_zone,
        },
        "sheets": sheets,
        **({"namedRanges": spreadsheet.named_ranges} if spreadsheet.named_ranges else {}),
        "spreadsheetUrl": url,
    }
    return apply(mask, answer)


def properties(sheet: Sheet) -> dict[str, Any]:
    """Return Google's `SheetProperties`, which leave out what is zero or false."""
    grid = {
        "rowCount": sheet.row_count,
        "columnCount": sheet.column_count,
        "frozenRowCount": sheet.frozen_row_count,
        "frozenColumnCount": sheet.frozen_column_count,
        "hideGridlines": sheet.hide_gridlines,
    }
    color = {"tabColor": sheet.tab_color, "tabColorStyle": {"rgbColor": sheet.tab_color}}
    return {
        "sheetId": sheet.sheet_id,
        "title": sheet.title,
        "index": sheet.index,
        "sheetType": "GRID",
        "gridProperties": {name: value for name, value in grid.items() if value},
        **({"hidden": True} if sheet.hidden else {}),
        **(color if sheet.tab_color is not None else {}),
    }


def _marks(sheet: Sheet) -> dict[str, Any]:
    marks = {
        "merges": [as_grid_range(sheet, box) for box in sheet.merges],
        "basicFilter": sheet.basic_filter,
        "protectedRanges": sheet.protected_ranges,
        "rowGroups": groups(sheet, "ROWS"),
        "columnGroups": groups(sheet, "COLUMNS"),
    }
    return {name: value for name, value in marks.items() if value}


def groups(sheet: Sheet, dimension: str) -> list[dict[str, Any]]:
    """Return the groups of rows or columns as Google's `DimensionGroup`s."""
    place = {"sheetId": sheet.sheet_id, "dimension": dimension}
    return [
        {"range": {**place, "startIndex": start, "endIndex": end}, "depth": 1} for start, end in sheet.groups[dimension]
    ]


def _data(sheet: Sheet, box: Box) -> dict[str, Any]:
    start = {"startRow": box.top, "startColumn": box.left}
    rows = [_row(row.cut(box.left, box.right)) for row in sheet.row_data[box.top : box.bottom]]
    return {
        **{name: value for name, value in start.items() if value},
        **({"rowData": rows} if rows else {}),
        "rowMetadata": _lines(sheet, "ROWS", box.top, box.bottom, 21),
        "columnMetadata": _lines(sheet, "COLUMNS", box.left, box.right, 100),
    }


def _lines(sheet: Sheet, dimension: str, start: int, end: int, pixels: int) -> list[dict[str, Any]]:
    known = sheet.dimensions[dimension]
    return [{"pixelSize": pixels, **known.get(index, {})} for index in range(start, end)]


def _row(row: Row) -> dict[str, Any]:
    width = max(len(row.values), len(row.decorations))
    return {"values": [_cell(row.value(column), row.decoration(column)) for column in range(width)]} if width else {}


def _cell(value: Value, decoration: Decoration) -> dict[str, Any]:
    cell: dict[str, Any] = {}
    if value is not None:
        kind = "boolValue" if isinstance(value, bool) else "stringValue" if isinstance(value, str) else "numberValue"
        cell = {
            "userEnteredValue": {kind: value},
            "effectiveValue": {kind: value},
            "formattedValue": shown(value, decoration),
        }
    if decoration.format:
        cell["userEnteredFormat"] = decoration.format
    if decoration.note:
        cell["note"] = decoration.note
    return cell


def _require_known(mask: Mask, known: Mask, path: str) -> None:
    for name, below in mask.items():
        if name not in known:
            raise RefusalError(
                f"Error expanding 'fields' parameter. Cannot find matching fields for path '{path}{name}', "
                "or the stand-in for Google Sheets does not have it."
            )
        if known[name]:
            _require_known(below, known[name], f"{path}{name}.")
