"""Changes of a grid: rows and columns come, go and move, and everything that is said about them moves along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cdp_sandbox.sheets.errors import RefusalError, lacking
from cdp_sandbox.sheets.grid import EMPTY, Row, Sheet, Spreadsheet, trimmed
from cdp_sandbox.sheets.ranges import Box

MOST_CELLS = 10_000_000
MOST_COLUMNS = 18_278

# Where an index goes; None if it goes away.
_Move = Callable[[int], int | None]


def require_room(spreadsheet: Spreadsheet) -> None:
    """Refuse a spreadsheet that has become too large.

    Raises:
        RefusalError: 400.
    """
    if any(sheet.column_count > MOST_COLUMNS for sheet in spreadsheet.sheets):
        raise RefusalError(f"This action would increase the number of columns above the limit of {MOST_COLUMNS}.")
    if spreadsheet.cell_count > MOST_CELLS:
        raise RefusalError(
            f"This action would increase the number of cells in the workbook above the limit of {MOST_CELLS} cells."
        )


def insert(spreadsheet: Spreadsheet, sheet: Sheet, dimension: str, start: int, count: int) -> None:
    """Put empty rows or columns before the one with an index; formats of their neighbours are not taken over.

    Raises:
        RefusalError: 400, the spreadsheet would become too large.
    """
    if dimension == "ROWS":
        sheet.row_count += count
        require_room(spreadsheet)
        if start < len(sheet.row_data):
            sheet.row_data[start:start] = [EMPTY] * count
    else:
        sheet.column_count += count
        require_room(spreadsheet)
        gap = (None,) * count
        _each_row(sheet, lambda cells: cells[:start] + gap + cells[start:] if len(cells) > start else cells)
    _move(spreadsheet, sheet, dimension, lambda index: index + count if index >= start else index)


def delete(spreadsheet: Spreadsheet, sheet: Sheet, dimension: str, start: int, end: int) -> None:
    """Take rows or columns away.

    Raises:
        RefusalError: 400, none would be left, or none that is not frozen.
    """
    count = sheet.row_count if dimension == "ROWS" else sheet.column_count
    words = "rows" if dimension == "ROWS" else "columns"
    if end - start >= count:
        raise RefusalError(f"You can't delete all the {words} on the sheet.")
    frozen = sheet.frozen_row_count if dimension == "ROWS" else sheet.frozen_column_count
    frozen -= max(0, min(frozen, end) - start)
    if count - (end - start) <= frozen:
        raise RefusalError(f"Sorry, it is not possible to delete all non-frozen {words}.")
    if dimension == "ROWS":
        sheet.row_count, sheet.frozen_row_count = count - (end - start), frozen
        del sheet.row_data[start:end]
    else:
        sheet.column_count, sheet.frozen_column_count = count - (end - start), frozen
        _each_row(sheet, lambda cells: trimmed(cells[:start] + cells[end:]) if len(cells) > start else cells)

    def move(index: int) -> int | None:
        if start <= index < end:
            return None
        return index - (end - start) if index >= end else index

    _move(spreadsheet, sheet, dimension, move)


def move(sheet: Sheet, dimension: str, start: int, end: int, destination: int) -> None:
    """Move rows or columns before the one that had the index `destination`.

    Raises:
        RefusalError: 400, merged cells would be torn; 501, they are grouped.
    """
    first, last = min(start, destination), max(end, destination)
    if any(low < last and high > first for low, high in sheet.groups[dimension]):
        raise lacking("the moving of grouped rows or columns")
    lines = [(one.top, one.bottom) if dimension == "ROWS" else (one.left, one.right) for one in sheet.merges]
    if any(low < last and high > first and high - low > 1 for low, high in lines):
        raise RefusalError("You can't move rows or columns across merged cells.")
    count = end - start
    at = destination if destination <= start else destination - count

    def moved(cells: list[Any]) -> list[Any]:
        rest = cells[:start] + cells[end:]
        return rest[:at] + cells[start:end] + rest[at:]

    if dimension == "ROWS":
        full = sheet.row_data + [EMPTY] * max(0, last - len(sheet.row_data))
        sheet.row_data = moved(full)
    else:
        _each_row(sheet, lambda cells: trimmed(tuple(moved([*cells, *[None] * max(0, last - len(cells))]))))
    sheet.dimensions[dimension] = {
        new: properties
        for old, properties in sheet.dimensions[dimension].items()
        for new in [_moved_index(old, start, end, at)]
    }


def resize(spreadsheet: Spreadsheet, sheet: Sheet, dimension: str, count: int) -> None:
    """Give a sheet another number of rows or columns; what is beyond is lost.

    Raises:
        RefusalError: 400, there would be none, or too many.
    """
    present = sheet.row_count if dimension == "ROWS" else sheet.column_count
    if count <= 0:
        raise RefusalError("You can't delete all the rows or columns on the sheet.")
    if count < present:
        delete(spreadsheet, sheet, dimension, count, present)
    elif count > present:
        insert(spreadsheet, sheet, dimension, present, count - present)


def _each_row(sheet: Sheet, change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> None:
    for index, row in enumerate(sheet.row_data):
        values, decorations = change(row.values), change(row.decorations)
        if values is not row.values or decorations is not row.decorations:
            sheet.row_data[index] = Row(values, decorations)


def _moved_index(index: int, start: int, end: int, at: int) -> int:
    if start <= index < end:
        return at + index - start
    rest = index - (end - start) if index >= end else index
    return rest + (end - start) if rest >= at else rest


def _move(spreadsheet: Spreadsheet, sheet: Sheet, dimension: str, move: _Move) -> None:
    sheet.dimensions[dimension] = {
        new: properties for index, properties in sheet.dimensions[dimension].items() if (new := move(index)) is not None
    }
    ends = [_moved_ends(low, high, move) for low, high in sheet.groups[dimension]]
    sheet.groups[dimension] = [one for one in ends if one is not None]
    boxes = [_moved_box(box, dimension, move) for box in sheet.merges]
    sheet.merges = [box for box in boxes if box is not None and box.height * box.width > 1]
    spreadsheet.named_ranges = _moved_ranges(spreadsheet.named_ranges, sheet, dimension, move)
    sheet.protected_ranges = _moved_ranges(sheet.protected_ranges, sheet, dimension, move)
    if sheet.basic_filter is not None:
        kept = _moved_ranges([sheet.basic_filter], sheet, dimension, move)
        sheet.basic_filter = kept[0] if kept else None


def _moved_box(box: Box, dimension: str, move: _Move) -> Box | None:
    low, high = (box.top, box.bottom) if dimension == "ROWS" else (box.left, box.right)
    if (ends := _moved_ends(low, high, move)) is None:
        return None
    start, end = ends
    return box._replace(top=start, bottom=end) if dimension == "ROWS" else box._replace(left=start, right=end)


def _moved_ends(low: int, high: int, move: _Move) -> tuple[int, int] | None:
    kept = [new for index in range(low, high) if (new := move(index)) is not None]
    return (kept[0], kept[-1] + 1) if kept else None


def _moved_ranges(things: list[dict[str, Any]], sheet: Sheet, dimension: str, move: _Move) -> list[dict[str, Any]]:
    names = ("startRowIndex", "endRowIndex") if dimension == "ROWS" else ("startColumnIndex", "endColumnIndex")
    moved = []
    for thing in things:
        where = thing.get("range", {})
        if where.get("sheetId", 0) != sheet.sheet_id or not all(name in where for name in names):
            moved.append(thing)
        elif (ends := _moved_ends(where[names[0]], where[names[1]], move)) is not None:
            moved.append({**thing, "range": {**where, names[0]: ends[0], names[1]: ends[1]}})
    return moved
