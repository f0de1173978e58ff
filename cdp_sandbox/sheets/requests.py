"""`spreadsheets.batchUpdate`: the requests about sheets and what they are made of, and the way to all others.

All requests of a batch work on one draft, so that any refusal leaves nothing done.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from cdp_sandbox.sheets import cell_requests, dimension_requests, masks
from cdp_sandbox.sheets.errors import RefusalError, flag, known, lacking, listed, number, text
from cdp_sandbox.sheets.grid import Sheet, Spreadsheet
from cdp_sandbox.sheets.lookup import (
    as_grid_range,
    grid_range,
    sheet_of,
)
from cdp_sandbox.sheets.resource import describe, properties
from cdp_sandbox.sheets.shape import require_room, resize

# Gives numbers to new sheets.
Numbers: TypeAlias = Callable[[], int]
_Reply: TypeAlias = dict[str, Any]

_LONGEST_TITLE = 100
_GRID = ("rowCount", "columnCount", "frozenRowCount", "frozenColumnCount", "hideGridlines")
_SHEET = ("sheetId", "title", "index", "sheetType", "gridProperties", "hidden", "tabColor", "tabColorStyle")
# Google's requests that are not here.
_LACKING = frozenset(
    "addBanding addChart addConditionalFormatRule addDataSource addFilterView addSlicer addTable "
    "autoFill autoResizeDimensions cancelDataSourceRefresh createDeveloperMetadata "
    "deleteBanding deleteConditionalFormatRule deleteDataSource deleteDeveloperMetadata "
    "deleteDuplicates deleteEmbeddedObject deleteFilterView deleteRange deleteTable duplicateFilterView insertRange "
    "pasteData randomizeRange refreshDataSource setDataValidation textToColumns trimWhitespace updateBanding "
    "updateBorders updateChartSpec updateConditionalFormatRule updateDataSource updateDeveloperMetadata "
    "updateDimensionGroup updateEmbeddedObjectBorder updateEmbeddedObjectPosition updateFilterView updateNamedRange "
    "updateProtectedRange updateSlicerSpec updateTable".split()
)


def batch_update(spreadsheet: Spreadsheet, body: Any, numbers: Numbers, url: str) -> dict[str, Any]:
    """Do all requests of a batch on a draft, and return a `BatchUpdateSpreadsheetResponse`.

    Raises:
        RefusalError: 400 or 501, one of them cannot be done.
    """
    said = known(
        body,
        "request",
        *("requests", "includeSpreadsheetInResponse", "responseRanges", "responseIncludeGridData"),
    )
    requests = listed(said, "requests")
    if not requests:
        raise RefusalError("Must specify at least one request.")
    replies = [_reply(spreadsheet, index, given, numbers) for index, given in enumerate(requests)]
    answer = {"spreadsheetId": spreadsheet.id, "replies": replies}
    if flag(said, "includeSpreadsheetInResponse"):
        ranges = [str(one) for one in listed(said, "responseRanges")]
        with_cells = flag(said, "responseIncludeGridData")
        answer["updatedSpreadsheet"] = describe(spreadsheet, url, ranges=ranges, with_cells=with_cells)
    return answer


def new_sheet(spreadsheet: Spreadsheet, given: Any, numbers: Numbers) -> Sheet:
    """Add a sheet of Google's `SheetProperties`, behind the others if they give no index.

    Raises:
        RefusalError: 400, there can be no such sheet.
    """
    said = known(given, "properties", *_SHEET)
    if said.get("sheetType", "GRID") != "GRID":
        raise lacking(f"sheets of the type {said['sheetType']}")
    sheet_id = number(said, "sheetId")
    if sheet_id is None:
        sheet_id = _free_id(spreadsheet)
    elif sheet_id < 0:
        raise RefusalError(f"Invalid value for sheetId: {sheet_id}. It must not be negative.")
    elif spreadsheet.by_id(sheet_id):
        raise RefusalError(f"Sheet with id {sheet_id} already exists. Please use a different id or leave it out.")
    title = text(said, "title") if "title" in said else _free_title(spreadsheet, "Sheet{}", len(spreadsheet.sheets) + 1)
    sheet = Sheet(numbers(), sheet_id, _checked_title(spreadsheet, title))
    grid = known(said.get("gridProperties", {}), "gridProperties", *_GRID)
    sheet.row_count = number(grid, "rowCount") or sheet.row_count
    sheet.column_count = number(grid, "columnCount") or sheet.column_count
    if min(sheet.row_count, sheet.column_count) < 0:
        raise RefusalError("A grid has at least one row and one column.")
    _place(spreadsheet, sheet, number(said, "index"))
    require_room(spreadsheet)
    named = {name: {} for name in said.keys() - {"sheetId", "title", "index", "sheetType", "gridProperties"}}
    sizes = {"rowCount", "columnCount"}
    _update(spreadsheet, sheet, said, {**named, "gridProperties": {name: {} for name in grid.keys() - sizes} or None})
    return sheet


def copied_sheet(spreadsheet: Spreadsheet, source: Sheet, numbers: Numbers) -> Sheet:
    """Add a copy of a sheet, which may be of another spreadsheet, behind the others.

    Raises:
        RefusalError: 400, the spreadsheet would become too large.
    """
    sheet = source.draft()
    sheet.number, sheet.sheet_id = numbers(), _free_id(spreadsheet)
    sheet.title = f"Copy of {source.title}"
    if spreadsheet.by_title(sheet.title):
        sheet.title = _free_title(spreadsheet, sheet.title + " {}", 2)
    sheet.protected_ranges = []
    if sheet.basic_filter:
        filtered = {**sheet.basic_filter["range"], "sheetId": sheet.sheet_id}
        sheet.basic_filter = {**sheet.basic_filter, "range": filtered}
    spreadsheet.place(sheet, len(spreadsheet.sheets))
    require_room(spreadsheet)
    return sheet


def _reply(spreadsheet: Spreadsheet, index: int, given: Any, numbers: Numbers) -> _Reply:
    place = f"requests[{index}]"
    if (
        not isinstance(given, Mapping)
        or len(set_ := {name: one for name, one in given.items() if one is not None}) != 1
    ):
        raise RefusalError(f"Invalid {place}: exactly one request must be set.")
    ((kind, details),) = set_.items()
    try:
        if kind in _LACKING:
            raise lacking(f"the request {kind}")
        if kind in {"addSheet", "duplicateSheet"}:
            add = _add_sheet if kind == "addSheet" else _duplicate_sheet
            return {kind: {"properties": properties(add(spreadsheet, details, numbers))}}
        if do := _ALL.get(kind):
            reply = do(spreadsheet, details)
            return {kind: reply} if reply else {}
    except RefusalError as refusal:
        raise refusal.within(f"{place}.{kind}") from refusal
    raise RefusalError(f"Invalid JSON payload received. Unknown name \"{kind}\" at '{place}': Cannot find field.")


def _add_sheet(spreadsheet: Spreadsheet, given: Any, numbers: Numbers) -> Sheet:
    return new_sheet(spreadsheet, known(given, "addSheet", "properties").get("properties", {}), numbers)


def _duplicate_sheet(spreadsheet: Spreadsheet, given: Any, numbers: Numbers) -> Sheet:
    said = known(given, "duplicateSheet", "sourceSheetId", "insertSheetIndex", "newSheetId", "newSheetName")
    sheet = copied_sheet(spreadsheet, sheet_of(spreadsheet, number(said, "sourceSheetId")), numbers)
    if (sheet_id := number(said, "newSheetId")) is not None:
        if sheet_id < 0 or spreadsheet.by_id(sheet_id):
            raise RefusalError(f"Sheet with id {sheet_id} already exists. Please use a different id or leave it out.")
        sheet.sheet_id = sheet_id
        if sheet.basic_filter:
            sheet.basic_filter["range"]["sheetId"] = sheet_id
    if name := said.get("newSheetName"):
        sheet.title = _checked_title(spreadsheet, str(name), but=sheet)
    _place(spreadsheet, sheet, number(said, "insertSheetIndex", 0))
    return sheet


def _delete_sheet(spreadsheet: Spreadsheet, given: Any) -> None:
    sheet = sheet_of(spreadsheet, number(known(given, "deleteSheet", "sheetId"), "sheetId"))
    if len(spreadsheet.sheets) == 1:
        raise RefusalError("You can't remove all the sheets in a document.")
    if all(one.hidden for one in spreadsheet.sheets if one is not sheet):
        raise RefusalError("You can't remove all the visible sheets in a document.")
    spreadsheet.sheets.remove(sheet)
    spreadsheet.renumber()
    spreadsheet.named_ranges = [
        one for one in spreadsheet.named_ranges if one["range"].get("sheetId", 0) != sheet.sheet_id
    ]


def _update_sheet(spreadsheet: Spreadsheet, given: Any) -> None:
    said = known(given, "updateSheetProperties", "properties", "fields")
    details = known(said.get("properties", {}), "properties", *_SHEET)
    sheet = sheet_of(spreadsheet, number(details, "sheetId"))
    mask = masks.required(said, *(name for name in _SHEET if name not in {"sheetId", "sheetType"}))
    _update(spreadsheet, sheet, details, mask)


def _update(spreadsheet: Spreadsheet, sheet: Sheet, said: Mapping[str, Any], mask: Mapping[str, Any]) -> None:
    if "title" in mask:
        sheet.title = _checked_title(spreadsheet, text(said, "title"), but=sheet)
    if "gridProperties" in mask and mask["gridProperties"] is not None:
        _update_grid(spreadsheet, sheet, said.get("gridProperties") or {}, mask["gridProperties"])
    if "hidden" in mask:
        sheet.hidden = flag(said, "hidden")
        if all(one.hidden for one in spreadsheet.sheets):
            raise RefusalError("You can't hide all the sheets in a document.")
    if "tabColor" in mask:
        sheet.tab_color = _color(said.get("tabColor"))
    if "tabColorStyle" in mask:
        sheet.tab_color = _color(known(said.get("tabColorStyle") or {}, "tabColorStyle", "rgbColor").get("rgbColor"))
    if "index" in mask:
        _place(spreadsheet, sheet, number(said, "index", 0))


def _update_grid(spreadsheet: Spreadsheet, sheet: Sheet, given: Any, mask: masks.Mask) -> None:
    said = known(given, "gridProperties", *_GRID)
    for name in mask.keys() - set(_GRID):
        raise RefusalError(f"Invalid field: gridProperties.{name}")
    # As Google does: each size is looked at with what the other one is by then.
    for name, dimension in (("rowCount", "ROWS"), ("columnCount", "COLUMNS")):
        if name in mask or not mask:
            resize(spreadsheet, sheet, dimension, number(said, name, 0) or 0)
    if "frozenRowCount" in mask or not mask:
        sheet.frozen_row_count = number(said, "frozenRowCount", 0) or 0
    if "frozenColumnCount" in mask or not mask:
        sheet.frozen_column_count = number(said, "frozenColumnCount", 0) or 0
    if "hideGridlines" in mask or not mask:
        sheet.hide_gridlines = flag(said, "hideGridlines")
    for frozen, count, words in (
        (sheet.frozen_row_count, sheet.row_count, "rows"),
        (sheet.frozen_column_count, sheet.column_count, "columns"),
    ):
        if frozen < 0 or frozen >= count:
            raise RefusalError(f"You can't freeze all visible {words} on the sheet.")


def _update_spreadsheet(spreadsheet: Spreadsheet, given: Any) -> None:
    said = known(given, "updateSpreadsheetProperties", "properties", "fields")
    names = ("title", "locale", "timeZone")
    details = known(said.get("properties", {}), "properties", *names)
    for name in masks.required(said, *names):
        value = text(details, name)
        if not value:
            raise RefusalError(f"{name} must not be empty.")
        setattr(spreadsheet, {"timeZone": "time_zone"}.get(name, name), value)


def _add_named_range(spreadsheet: Spreadsheet, given: Any) -> _Reply:
    said = known(known(given, "addNamedRange", "namedRange").get("namedRange", {}), "namedRange", *_NAMED)
    name, (sheet, box) = text(said, "name"), grid_range(spreadsheet, said.get("range", {}))
    if not name.isidentifier():
        raise RefusalError(f"The name {name!r} is no name of a range.")
    if any(one["name"].lower() == name.lower() for one in spreadsheet.named_ranges):
        raise RefusalError(f"Named range with name: {name} already exists.")
    identity = text(said, "namedRangeId") or str(secrets.randbelow(2**31))
    added = {"namedRangeId": identity, "name": name, "range": as_grid_range(sheet, box)}
    spreadsheet.named_ranges.append(added)
    return {"namedRange": added}


def _delete_named_range(spreadsheet: Spreadsheet, given: Any) -> None:
    identity = known(given, "deleteNamedRange", "namedRangeId").get("namedRangeId")
    kept = [one for one in spreadsheet.named_ranges if one["namedRangeId"] != identity]
    if len(kept) == len(spreadsheet.named_ranges):
        raise RefusalError(f"No named range with id: {identity}")
    spreadsheet.named_ranges = kept


def _add_protected_range(spreadsheet: Spreadsheet, given: Any) -> _Reply:
    names = ("protectedRangeId", "range", "description", "warningOnly", "requestingUserCanEdit", "editors")
    said = known(
        known(given, "addProtectedRange", "protectedRange").get("protectedRange", {}), "protectedRange", *names
    )
    sheet, box = grid_range(spreadsheet, said.get("range", {}))
    identity = {"protectedRangeId": number(said, "protectedRangeId") or secrets.randbelow(2**31)}
    added = {**identity, **said, "range": as_grid_range(sheet, box)}
    sheet.protected_ranges.append(added)
    return {"protectedRange": added}


def _delete_protected_range(spreadsheet: Spreadsheet, given: Any) -> None:
    identity = number(known(given, "deleteProtectedRange", "protectedRangeId"), "protectedRangeId")
    for sheet in spreadsheet.sheets:
        kept = [one for one in sheet.protected_ranges if one["protectedRangeId"] != identity]
        if len(kept) < len(sheet.protected_ranges):
            sheet.protected_ranges = kept
            return
    raise RefusalError(f"No protected range with id: {identity}")


_NAMED = ("namedRangeId", "name", "range")
_REQUESTS: dict[str, Callable[[Spreadsheet, Any], _Reply | None]] = {
    "deleteSheet": _delete_sheet,
    "updateSheetProperties": _update_sheet,
    "updateSpreadsheetProperties": _update_spreadsheet,
    "addNamedRange": _add_named_range,
    "deleteNamedRange": _delete_named_range,
    "addProtectedRange": _add_protected_range,
    "deleteProtectedRange": _delete_protected_range,
}
_ALL = {**_REQUESTS, **cell_requests.REQUESTS, **dimension_requests.REQUESTS}


def _place(spreadsheet: Spreadsheet, sheet: Sheet, index: int | None) -> None:
    others = [one for one in spreadsheet.sheets if one is not sheet]
    if index is None:
        index = len(others)
    present = next((place for place, one in enumerate(spreadsheet.sheets) if one is sheet), None)
    if not 0 <= index <= len(spreadsheet.sheets):
        raise RefusalError(f"Invalid value for index: {index}. There are {len(spreadsheet.sheets)} sheets.")
    # A sheet that moves to the right is put before the one that has the index now, without itself being counted.
    spreadsheet.place(sheet, index - 1 if present is not None and index > present else index)


def _checked_title(spreadsheet: Spreadsheet, title: str, *, but: Sheet | None = None) -> str:
    if not title:
        raise RefusalError("The sheet name cannot be empty.")
    if len(title) > _LONGEST_TITLE:
        raise RefusalError(f"The sheet name cannot be greater than {_LONGEST_TITLE} characters.")
    found = (
        spreadsheet.by_title(title)
        if but is None
        else next((one for one in spreadsheet.sheets if one is not but and one.title.lower() == title.lower()), None)
    )
    if found is not None:
        raise RefusalError(f'A sheet with the name "{title}" already exists. Please enter another name.')
    return title


def _free_title(spreadsheet: Spreadsheet, pattern: str, first: int) -> str:
    while spreadsheet.by_title(pattern.format(first)):
        first += 1
    return pattern.format(first)


def _free_id(spreadsheet: Spreadsheet) -> int:
    while spreadsheet.by_id(sheet_id := secrets.randbelow(2**31 - 1) + 1):
        pass
    return sheet_id


def _color(given: Any) -> dict[str, Any] | None:
    if given is None:
        return None
    said = known(given, "color", "red", "green", "blue", "alpha")
    for name, share in said.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise RefusalError(f"Invalid value at 'color.{name}': {share!r}")
    return {name: share for name, share in said.items() if share}
