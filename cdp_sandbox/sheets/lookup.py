"""Finds what a request speaks of: the sheet of an id or an A1 range, and the box that is meant in its grid."""

from __future__ import annotations

from typing import Any, NamedTuple

from cdp_sandbox.sheets.errors import RefusalError, choice, known, number, outside
from cdp_sandbox.sheets.grid import Sheet, Spreadsheet
from cdp_sandbox.sheets.ranges import Address, Box, column_letters, parse, quoted, unquoted, written


class Target(NamedTuple):
    """Cells that an A1 range means.

    Attributes:
        box: What it says, with open ends closed by the grid; it may reach beyond the grid.
        is_cell: It is a single cell, from which data may go on.
    """

    sheet: Sheet
    box: Box
    is_cell: bool = False

    def clipped(self) -> Box:
        """Return the part that is in the grid.

        Raises:
            RefusalError: 400, it begins beyond the grid.
        """
        if self.box.top >= self.sheet.row_count or self.box.left >= self.sheet.column_count:
            raise beyond(self.sheet, self.box)
        return self.box.within(self.sheet.box)


def resolve(spreadsheet: Spreadsheet, text: str) -> Target:
    """Return the cells of an A1 range, of a whole sheet by its title, or of a named range.

    Raises:
        RefusalError: 400, there is no such thing.
    """
    address = parse(text)
    if address is None:
        if target := _named_range(spreadsheet, text):
            return target
        if sheet := spreadsheet.by_title(unquoted(text)):
            return Target(sheet, sheet.box)
        raise RefusalError(f"Unable to parse range: {text}")
    if address.title is None:
        sheet = next(one for one in spreadsheet.sheets if not one.hidden)
    else:
        sheet = spreadsheet.by_title(address.title)
    if sheet is None:
        raise RefusalError(f"Unable to parse range: {text}")
    box = _box(sheet, address)
    return Target(sheet, box, is_cell=box.height == box.width == 1 and address.bottom is not None)


def _named_range(spreadsheet: Spreadsheet, text: str) -> Target | None:
    """Return the cells of a named range, alone or behind its sheet's title. A sheet of the same title comes second."""
    title, mark, name = text.rpartition("!")
    for one in spreadsheet.named_ranges:
        if one["name"].lower() == name.lower():
            sheet, box = grid_range(spreadsheet, one["range"])
            if not mark or spreadsheet.by_title(unquoted(title)) is sheet:
                return Target(sheet, box, is_cell=box.height == box.width == 1)
    return None


def beyond(sheet: Sheet, box: Box) -> RefusalError:
    """Return the refusal of a box that is not in its grid."""
    return outside(written(sheet.title, box), sheet.row_count, sheet.column_count)


def sheet_of(spreadsheet: Spreadsheet, sheet_id: int | None) -> Sheet:
    """Return the sheet of an id; the id 0 is meant where none is said.

    Raises:
        RefusalError: 400, there is none.
    """
    if (sheet := spreadsheet.by_id(sheet_id or 0)) is None:
        raise RefusalError(f"No grid with id: {sheet_id or 0}")
    return sheet


def grid_range(spreadsheet: Spreadsheet, given: Any) -> tuple[Sheet, Box]:
    """Return the cells of a `GridRange`. What it leaves open ends with the grid.

    Raises:
        RefusalError: 400, there are no such cells.
    """
    names = ("startRowIndex", "startColumnIndex", "endRowIndex", "endColumnIndex")
    said = known(given, "range", "sheetId", *names)
    sheet = sheet_of(spreadsheet, number(said, "sheetId"))
    defaults = (0, 0, sheet.row_count, sheet.column_count)
    corners = [number(said, name, default) for name, default in zip(names, defaults, strict=True)]
    box = Box(*(corner or 0 for corner in corners))
    if min(box) < 0 or box.height <= 0 or box.width <= 0:
        raise RefusalError("GridRange is empty or begins before the grid.")
    if not sheet.box.holds(box):
        raise beyond(sheet, box)
    return sheet, box


def coordinate(spreadsheet: Spreadsheet, given: Any) -> tuple[Sheet, int, int]:
    """Return the sheet, row and column of a `GridCoordinate`.

    Raises:
        RefusalError: 400, there is no such cell.
    """
    said = known(given, "start", "sheetId", "rowIndex", "columnIndex")
    sheet = sheet_of(spreadsheet, number(said, "sheetId"))
    row, column = number(said, "rowIndex", 0) or 0, number(said, "columnIndex", 0) or 0
    for name, index, count, line in (
        ("rowIndex", row, sheet.row_count, "row"),
        ("columnIndex", column, sheet.column_count, "column"),
    ):
        if not 0 <= index < count:
            raise RefusalError(f"GridCoordinate.{name}[{index}] is after last {line} in grid[{count - 1}]")
    return sheet, row, column


class Lines(NamedTuple):
    """Rows or columns of a sheet, from 0, without the last."""

    sheet: Sheet
    dimension: str
    start: int
    end: int


def dimension_range(spreadsheet: Spreadsheet, given: Any, *, to_insert: bool = False) -> Lines:
    """Return the rows or columns of a `DimensionRange`. New ones may begin right behind the last and end anywhere.

    Raises:
        RefusalError: 400, there are none such.
    """
    said = known(given, "range", "sheetId", "dimension", "startIndex", "endIndex")
    sheet = sheet_of(spreadsheet, number(said, "sheetId"))
    dimension = dimension_of(said)
    count = sheet.row_count if dimension == "ROWS" else sheet.column_count
    start, end = number(said, "startIndex", 0) or 0, number(said, "endIndex", count) or 0
    if start < 0 or end <= start:
        raise RefusalError(f"range.startIndex[{start}] must be before range.endIndex[{end}]")
    if start > count or (not to_insert and end > count):
        raise RefusalError(f"Cannot reach index {end} of {dimension}: the grid has {count}.")
    return Lines(sheet, dimension, start, end)


def dimension_of(given: dict[str, Any], name: str = "dimension") -> str:
    """Return `ROWS` or `COLUMNS`, which must be said.

    Raises:
        RefusalError: 400, it is neither.
    """
    if name not in given:
        raise RefusalError(f"{name} is required.")
    return choice(given, name, "ROWS", "COLUMNS")


def as_grid_range(sheet: Sheet, box: Box) -> dict[str, int]:
    """Return the `GridRange` of a box."""
    return {
        "sheetId": sheet.sheet_id,
        "startRowIndex": box.top,
        "endRowIndex": box.bottom,
        "startColumnIndex": box.left,
        "endColumnIndex": box.right,
    }


def named(sheet: Sheet, box: Box) -> str:
    """Return a box as messages name it."""
    corners = f"{column_letters(box.left)}{box.top + 1}:{column_letters(box.right - 1)}{box.bottom}"
    return f"{quoted(sheet.title)}!{corners}"


def _box(sheet: Sheet, address: Address) -> Box:
    top, left = address.top or 0, address.left or 0
    bottom = max(sheet.row_count, top + 1) if address.bottom is None else address.bottom
    right = max(sheet.column_count, left + 1) if address.right is None else address.right
    return Box(top, left, bottom, right)
