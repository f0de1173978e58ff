"""The requests of a batch that are about rows and columns as such: they come, go, move, hide, and are grouped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cdp_sandbox.sheets import masks
from cdp_sandbox.sheets.errors import RefusalError, flag, known, lacking, number
from cdp_sandbox.sheets.grid import Spreadsheet
from cdp_sandbox.sheets.lookup import dimension_of, dimension_range, sheet_of
from cdp_sandbox.sheets.resource import groups
from cdp_sandbox.sheets.shape import delete, insert, move


def _insert_dimension(spreadsheet: Spreadsheet, given: Any) -> None:
    said = known(given, "insertDimension", "range", "inheritFromBefore")
    sheet, dimension, start, end = dimension_range(spreadsheet, said.get("range", {}), to_insert=True)
    if flag(said, "inheritFromBefore") and start == 0:
        raise RefusalError("inheritFromBefore cannot be true when inserting at the beginning of the grid.")
    insert(spreadsheet, sheet, dimension, start, end - start)


def _delete_dimension(spreadsheet: Spreadsheet, given: Any) -> None:
    delete(spreadsheet, *dimension_range(spreadsheet, known(given, "deleteDimension", "range").get("range", {})))


def _append_dimension(spreadsheet: Spreadsheet, given: Any) -> None:
    said = known(given, "appendDimension", "sheetId", "dimension", "length")
    sheet = sheet_of(spreadsheet, number(said, "sheetId"))
    dimension, length = dimension_of(said), number(said, "length", 0) or 0
    if length <= 0:
        raise RefusalError("length must be at least 1.")
    insert(spreadsheet, sheet, dimension, sheet.row_count if dimension == "ROWS" else sheet.column_count, length)


def _move_dimension(spreadsheet: Spreadsheet, given: Any) -> None:
    said = known(given, "moveDimension", "source", "destinationIndex")
    sheet, dimension, start, end = dimension_range(spreadsheet, said.get("source", {}))
    destination = number(said, "destinationIndex", 0) or 0
    if not 0 <= destination <= (sheet.row_count if dimension == "ROWS" else sheet.column_count):
        raise RefusalError(f"destinationIndex[{destination}] is beyond the grid.")
    if start < destination < end:
        raise RefusalError("destinationIndex must not be within the source.")
    move(sheet, dimension, start, end, destination)


def _update_dimension(spreadsheet: Spreadsheet, given: Any) -> None:
    said = known(given, "updateDimensionProperties", "range", "properties", "fields")
    sheet, dimension, start, end = dimension_range(spreadsheet, said.get("range", {}))
    details = known(said.get("properties", {}), "properties", "hiddenByUser", "pixelSize")
    mask = masks.required(said, "hiddenByUser", "pixelSize")
    changed = {"hiddenByUser": flag(details, "hiddenByUser") or None, "pixelSize": number(details, "pixelSize")}
    lines = sheet.dimensions[dimension]
    for index in range(start, end):
        if after := masks.merge(mask, lines.get(index, {}), changed):
            lines[index] = after
        else:
            lines.pop(index, None)


def _add_group(spreadsheet: Spreadsheet, given: Any) -> dict[str, Any]:
    said = known(given, "addDimensionGroup", "range")
    sheet, dimension, start, end = dimension_range(spreadsheet, said.get("range", {}))
    if any(low < end and high > start for low, high in sheet.groups[dimension]):
        raise lacking("groups of rows or columns that have some in common")
    sheet.groups[dimension] = sorted([*sheet.groups[dimension], (start, end)])
    return {"dimensionGroups": groups(sheet, dimension)}


def _delete_group(spreadsheet: Spreadsheet, given: Any) -> dict[str, Any]:
    said = known(given, "deleteDimensionGroup", "range")
    sheet, dimension, start, end = dimension_range(spreadsheet, said.get("range", {}))
    if (start, end) not in sheet.groups[dimension]:
        raise lacking("the removal of a part of a group")
    sheet.groups[dimension].remove((start, end))
    return {"dimensionGroups": groups(sheet, dimension)}


REQUESTS: dict[str, Callable[[Spreadsheet, Any], dict[str, Any] | None]] = {
    "insertDimension": _insert_dimension,
    "deleteDimension": _delete_dimension,
    "appendDimension": _append_dimension,
    "moveDimension": _move_dimension,
    "updateDimensionProperties": _update_dimension,
    "addDimensionGroup": _add_group,
    "deleteDimensionGroup": _delete_group,
}
