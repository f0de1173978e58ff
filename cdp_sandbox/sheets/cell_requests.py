"""The requests of a batch that are about cells: their values, formats and notes, and merged cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cdp_sandbox.sheets import masks
from cdp_sandbox.sheets.cells import extended, raw, shown
from cdp_sandbox.sheets.errors import RefusalError, choice, flag, known, lacking, listed, number, text
from cdp_sandbox.sheets.formats import checked
from cdp_sandbox.sheets.grid import PLAIN, Decoration, Row, Sheet, Spreadsheet, Value, trimmed
from cdp_sandbox.sheets.lookup import as_grid_range, beyond, coordinate, grid_range, sheet_of
from cdp_sandbox.sheets.ranges import Box
from cdp_sandbox.sheets.shape import resize

_CELL = ("userEnteredValue", "userEnteredFormat", "note")
_MERGES = ("MERGE_ALL", "MERGE_COLUMNS", "MERGE_ROWS")
_PASTES = ("PASTE_NORMAL", "PASTE_VALUES", "PASTE_FORMULA", "PASTE_FORMAT")


class _Cell(NamedTuple):
    """A cell of a request, read."""

    value: Value = None
    format: Mapping[str, Any] = {}
    note: str = ""


_EMPTY = _Cell()


def _read_cell(given: Any) -> _Cell:
    said = known(given, "values", *_CELL)
    value = extended(said["userEnteredValue"]) if "userEnteredValue" in said else None
    looks = said.get("userEnteredFormat", {})
    if not isinstance(looks, Mapping):
        raise RefusalError("Invalid value at 'userEnteredFormat': an object is expected.")
    if looks.get("numberFormat"):
        checked(looks["numberFormat"])
    return _Cell(value, _with_styles(looks), text(said, "note"))


def _with_styles(looks: Mapping[str, Any]) -> dict[str, Any]:
    """Say every color twice, as Google does: `backgroundColor` is `backgroundColorStyle.rgbColor` too."""
    styled: dict[str, Any] = {}
    for name, value in looks.items():
        if name.endswith("Color") and value is not None:
            styled |= {name: value, f"{name}Style": {"rgbColor": value}}
        elif name.endswith("ColorStyle") and isinstance(value, Mapping) and "rgbColor" in value:
            styled |= {name.removesuffix("Style"): value["rgbColor"], name: value}
        else:
            styled[name] = _with_styles(value) if isinstance(value, Mapping) else value
    return styled


def _write(sheet: Sheet, box: Box, rows: list[list[_Cell]], mask: masks.Mask) -> None:
    """Write the fields of a mask to all cells of a box; where the rows have no cell, they are cleared."""
    for index in range(box.height):
        row = sheet.row(box.top + index)
        given = rows[index] if index < len(rows) else []
        cells = given + [_EMPTY] * (box.width - len(given))
        sheet.put(box.top + index, [Row(_valued(row, box, cells, mask), _decorated(row, box, cells, mask))])


def _valued(row: Row, box: Box, cells: list[_Cell], mask: masks.Mask) -> tuple[Value, ...]:
    if "userEnteredValue" not in mask:
        return row.values
    return row.spliced(box.left, box.right, Row(tuple(cell.value for cell in cells))).values


def _decorated(row: Row, box: Box, cells: list[_Cell], mask: masks.Mask) -> tuple[Decoration | None, ...]:
    looks, with_notes = mask.get("userEnteredFormat"), "note" in mask
    if looks is None and not with_notes:
        return row.decorations
    after = []
    for column, cell in enumerate(cells, box.left):
        before = row.decoration(column)
        look = before.format if looks is None else masks.merge(looks, before.format, cell.format)
        if look.get("numberFormat"):
            checked(look["numberFormat"])
        one = Decoration(look, cell.note if with_notes else before.note)
        after.append(one if one != PLAIN else None)
    return row.spliced(box.left, box.right, Row((), tuple(after))).decorations


def _rows(said: Mapping[str, Any]) -> list[list[_Cell]]:
    rows = [listed(known(row, "rows", "values"), "values") for row in listed(said, "rows")]
    return [[_read_cell(cell) for cell in row] for row in rows]


def _update_cells(spreadsheet: Spreadsheet, given: Any) -> None:
    said = known(given, "updateCells", "rows", "fields", "start", "range")
    mask, rows = masks.required(said, *_CELL), _rows(said)
    height, width = len(rows), max(map(len, rows), default=0)
    if ("start" in said) == ("range" in said):
        raise RefusalError("One of start and range must be set.")
    if "start" in said:
        sheet, top, left = coordinate(spreadsheet, said["start"])
        box = Box(top, left, top + height, left + width)
        if not sheet.box.holds(box):
            raise beyond(sheet, box)
        # Without a range, a row that is shorter than others leaves what is beside it.
        for index, row in enumerate(rows):
            _write(sheet, Box(top + index, left, top + index + 1, left + len(row)), [row], mask)
        return
    sheet, box = grid_range(spreadsheet, said["range"])
    if height > box.height:
        raise RefusalError(f"Attempting to write row: {box.bottom}, beyond the last requested row of: {box.bottom - 1}")
    if width > box.width:
        raise RefusalError(
            f"Attempting to write column: {box.right}, beyond the last requested column of: {box.right - 1}"
        )
    _write(sheet, box, rows, mask)


def _append_cells(spreadsheet: Spreadsheet, given: Any) -> None:
    said = known(given, "appendCells", "sheetId", "rows", "fields")
    mask, rows = masks.required(said, *_CELL), _rows(said)
    sheet = sheet_of(spreadsheet, number(said, "sheetId"))
    top = len(sheet.row_data)
    while top and not sheet.row_data[top - 1].values:
        top -= 1
    box = Box(top, 0, top + len(rows), max(map(len, rows), default=0))
    if box.right > sheet.column_count:
        raise beyond(sheet, box)
    if box.bottom > sheet.row_count:
        resize(spreadsheet, sheet, "ROWS", box.bottom)
    for index, row in enumerate(rows):
        _write(sheet, Box(top + index, 0, top + index + 1, len(row)), [row], mask)


def _repeat_cell(spreadsheet: Spreadsheet, given: Any) -> None:
    said = known(given, "repeatCell", "range", "cell", "fields")
    mask, cell = masks.required(said, *_CELL), _read_cell(said.get("cell", {}))
    sheet, box = grid_range(spreadsheet, said.get("range", {}))
    cells = [cell] * box.width
    # Most rows look alike, before and after: they share what is made of them.
    made: dict[int, tuple[Any, Any]] = {}
    rows = []
    for index in range(box.top, box.bottom):
        row = sheet.row(index)
        if id(row.decorations) not in made:
            made[id(row.decorations)] = (row.decorations, _decorated(row, box, cells, mask))
        rows.append(Row(_valued(row, box, cells, mask), made[id(row.decorations)][1]))
    sheet.put(box.top, rows)


def _copy_paste(spreadsheet: Spreadsheet, given: Any) -> None:
    said = known(given, "copyPaste", "source", "destination", "pasteType", "pasteOrientation")
    source, box = grid_range(spreadsheet, said.get("source", {}))
    sheet, room = grid_range(spreadsheet, said.get("destination", {}))
    transposed = choice(said, "pasteOrientation", "NORMAL", "TRANSPOSE") == "TRANSPOSE"
    _paste(source, box, sheet, room, kind=_paste_type(said), transposed=transposed)


def _cut_paste(spreadsheet: Spreadsheet, given: Any) -> None:
    said = known(given, "cutPaste", "source", "destination", "pasteType")
    source, box = grid_range(spreadsheet, said.get("source", {}))
    sheet, top, left = coordinate(spreadsheet, said.get("destination", {}))
    kind = _paste_type(said)
    cut = [row.cut(box.left, box.right) for row in _rows_of(source, box)]
    merges = [merge for merge in source.merges if box.holds(merge)]
    source.merges = [merge for merge in source.merges if merge not in merges]
    for index, row in enumerate(cut):
        old = source.row(box.top + index)
        left_behind = {
            "PASTE_VALUES": Row((), row.decorations),
            "PASTE_FORMULA": Row((), row.decorations),
            "PASTE_FORMAT": Row(row.values),
        }.get(kind, Row())
        source.put(box.top + index, [old.spliced(box.left, box.right, left_behind)])
    _put(cut, merges if kind == "PASTE_NORMAL" else [], box, sheet, Box(top, left, top + 1, left + 1), kind=kind)


def _paste_type(said: Mapping[str, Any]) -> str:
    kind = said.get("pasteType", "PASTE_NORMAL")
    if kind in ("PASTE_NO_BORDERS", "PASTE_DATA_VALIDATION", "PASTE_CONDITIONAL_FORMATTING"):
        raise lacking(f"the paste type {kind}")
    return choice(said, "pasteType", *_PASTES)


def _paste(source: Sheet, box: Box, sheet: Sheet, room: Box, *, kind: str, transposed: bool) -> None:
    copied = [row.cut(box.left, box.right) for row in _rows_of(source, box)]
    merges = [merge for merge in source.merges if box.holds(merge)] if kind == "PASTE_NORMAL" else []
    if transposed:
        copied = [
            Row(
                trimmed(tuple(row.value(column) for row in copied)),
                trimmed(tuple(row.decoration(column) if row.decoration(column) != PLAIN else None for row in copied)),
            )
            for column in range(box.width)
        ]
        turned = [
            (one.top - box.top, one.left - box.left, one.bottom - box.top, one.right - box.left) for one in merges
        ]
        box = Box(0, 0, box.width, box.height)
        merges = [Box(left, top, right, bottom) for top, left, bottom, right in turned]
    _put(copied, merges, box, sheet, room, kind=kind)


def _put(copied: list[Row], merges: list[Box], box: Box, sheet: Sheet, room: Box, *, kind: str) -> None:
    """Paste rows; they are repeated if they fit into the room several times, and reach beyond it if they are larger."""
    down = room.height // box.height if room.height % box.height == 0 else 1
    across = room.width // box.width if room.width % box.width == 0 else 1
    full = Box(room.top, room.left, room.top + down * box.height, room.left + across * box.width)
    if not sheet.box.holds(full):
        raise beyond(sheet, full)
    if kind == "PASTE_NORMAL":
        _require_whole(sheet, full)
        sheet.merges = [one for one in sheet.merges if not one.touches(full)]
    pasted = []
    for index in range(full.height):
        old, new = sheet.row(full.top + index), copied[index % box.height]
        for left in range(full.left, full.right, box.width):
            right = left + box.width
            spliced = old.spliced(left, right, new)
            old = {
                "PASTE_VALUES": Row(spliced.values, old.decorations),
                "PASTE_FORMULA": Row(spliced.values, old.decorations),
                "PASTE_FORMAT": Row(old.values, spliced.decorations),
            }.get(kind, spliced)
        pasted.append(old)
    sheet.put(full.top, pasted)
    for top in range(full.top, full.bottom, box.height):
        for left in range(full.left, full.right, box.width):
            by_rows, by_columns = top - box.top, left - box.left
            sheet.merges += [
                Box(one.top + by_rows, one.left + by_columns, one.bottom + by_rows, one.right + by_columns)
                for one in merges
            ]


def _sort_range(spreadsheet: Spreadsheet, given: Any) -> None:
    said = known(given, "sortRange", "range", "sortSpecs")
    sheet, box = grid_range(spreadsheet, said.get("range", {}))
    if any(one.touches(box) for one in sheet.merges):
        raise RefusalError("You can't sort a range that has merged cells.")
    rows = [row.cut(box.left, box.right) for row in _rows_of(sheet, box)]
    for one in reversed(listed(said, "sortSpecs")):
        spec = known(one, "sortSpecs", "dimensionIndex", "sortOrder")
        column = (number(spec, "dimensionIndex", 0) or 0) - box.left
        if not 0 <= column < box.width:
            raise RefusalError("sortSpecs.dimensionIndex must be within the range.")
        order = choice(spec, "sortOrder", "ASCENDING", "DESCENDING")
        rows = _sorted(rows, column, descending=order == "DESCENDING")
    put = [sheet.row(box.top + index).spliced(box.left, box.right, row) for index, row in enumerate(rows)]
    sheet.put(box.top, put)


def _sorted(rows: list[Row], column: int, *, descending: bool) -> list[Row]:
    def key(row: Row) -> tuple[int, Any]:
        value = row.value(column)
        if isinstance(value, bool):
            return 2, value
        return (1, value.casefold()) if isinstance(value, str) else (0, value)

    # Empty cells are the last in either order.
    empty = [row for row in rows if row.value(column) is None]
    full = [row for row in rows if row.value(column) is not None]
    return sorted(full, key=key, reverse=descending) + empty


def _find_replace(spreadsheet: Spreadsheet, given: Any) -> dict[str, Any]:
    names = ("find", "replacement", "matchCase", "matchEntireCell", "range", "sheetId", "allSheets")
    said = known(given, "findReplace", *names)
    find, replacement = text(said, "find"), text(said, "replacement")
    if not find or sum(name in said for name in ("range", "sheetId", "allSheets")) != 1:
        raise RefusalError("find, and one of range, sheetId and allSheets, must be set.")
    pattern = re.compile(
        rf"\A{re.escape(find)}\Z" if flag(said, "matchEntireCell") else re.escape(find),
        0 if flag(said, "matchCase") else re.IGNORECASE,
    )
    if "range" in said:
        places = [grid_range(spreadsheet, said["range"])]
    else:
        sheets = spreadsheet.sheets if flag(said, "allSheets") else [sheet_of(spreadsheet, number(said, "sheetId"))]
        places = [(sheet, sheet.box) for sheet in sheets]
    changed: list[tuple[int, int]] = []
    occurrences = 0
    for sheet, box in places:
        for index in range(box.top, min(box.bottom, len(sheet.row_data))):
            row = sheet.row_data[index]
            for column in range(box.left, min(box.right, len(row.values))):
                value = row.values[column]
                if not pattern.search(shown(value, row.decoration(column))):
                    continue
                if not isinstance(value, str):
                    raise lacking("the replacing of what is found in a number")
                new, count = pattern.subn(lambda _: replacement, value)
                row = row.spliced(column, column + 1, Row((raw(new),), row.decorations[column : column + 1]))
                changed.append((sheet.number, index))
                occurrences += count
            sheet.row_data[index] = row
    counts = {
        "valuesChanged": len(changed),
        "rowsChanged": len(set(changed)),
        "sheetsChanged": len({number_ for number_, _ in changed}),
        "occurrencesChanged": occurrences,
    }
    return {name: count for name, count in counts.items() if count}


def _merge_cells(spreadsheet: Spreadsheet, given: Any) -> None:
    said = known(given, "mergeCells", "range", "mergeType")
    sheet, box = grid_range(spreadsheet, said.get("range", {}))
    kind = choice(said, "mergeType", *_MERGES)
    _require_whole(sheet, box)
    new = [box]
    if kind == "MERGE_COLUMNS":
        new = [box._replace(left=column, right=column + 1) for column in range(box.left, box.right)]
    elif kind == "MERGE_ROWS":
        new = [box._replace(top=row, bottom=row + 1) for row in range(box.top, box.bottom)]
    sheet.merges = [one for one in sheet.merges if not one.touches(box)]
    sheet.merges += [one for one in new if one.height * one.width > 1]
    for one in new:
        first = sheet.row(one.top).value(one.left)
        for index in range(one.top, min(one.bottom, len(sheet.row_data))):
            row = sheet.row_data[index]
            kept = (first,) if index == one.top else ()
            blank = Row(kept, row.cut(one.left, one.right).decorations)
            sheet.row_data[index] = row.spliced(one.left, one.right, blank)


def _unmerge_cells(spreadsheet: Spreadsheet, given: Any) -> None:
    sheet, box = grid_range(spreadsheet, known(given, "unmergeCells", "range").get("range", {}))
    _require_whole(sheet, box)
    sheet.merges = [one for one in sheet.merges if not one.touches(box)]


def _require_whole(sheet: Sheet, box: Box) -> None:
    if any(one.touches(box) and not box.holds(one) for one in sheet.merges):
        raise RefusalError("You must select all cells in a merged range to merge or unmerge them.")


def _set_filter(spreadsheet: Spreadsheet, given: Any) -> None:
    said = known(known(given, "setBasicFilter", "filter").get("filter", {}), "filter", "range")
    sheet, box = grid_range(spreadsheet, said.get("range", {}))
    sheet.basic_filter = {"range": as_grid_range(sheet, box)}


def _clear_filter(spreadsheet: Spreadsheet, given: Any) -> None:
    sheet_of(spreadsheet, number(known(given, "clearBasicFilter", "sheetId"), "sheetId")).basic_filter = None


def _rows_of(sheet: Sheet, box: Box) -> list[Row]:
    return [sheet.row(index) for index in range(box.top, box.bottom)]


REQUESTS: dict[str, Callable[[Spreadsheet, Any], dict[str, Any] | None]] = {
    "updateCells": _update_cells,
    "appendCells": _append_cells,
    "repeatCell": _repeat_cell,
    "copyPaste": _copy_paste,
    "cutPaste": _cut_paste,
    "sortRange": _sort_range,
    "findReplace": _find_replace,
    "mergeCells": _merge_cells,
    "unmergeCells": _unmerge_cells,
    "setBasicFilter": _set_filter,
    "clearBasicFilter": _clear_filter,
}
