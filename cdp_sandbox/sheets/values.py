"""`spreadsheets.values`: get, update, append, clear, and the same for many ranges at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from cdp_sandbox.sheets.cells import entered, is_date, raw, shown
from cdp_sandbox.sheets.errors import RefusalError, choice, flag, known, listed, text
from cdp_sandbox.sheets.grid import Decoration, Row, Sheet, Spreadsheet, trimmed
from cdp_sandbox.sheets.lookup import Target, beyond, named, resolve
from cdp_sandbox.sheets.ranges import Box, column_letters, written
from cdp_sandbox.sheets.shape import insert, resize

_RENDERINGS = ("FORMATTED_VALUE", "UNFORMATTED_VALUE", "FORMULA")
_DATES = ("SERIAL_NUMBER", "FORMATTED_STRING")
_DIMENSIONS = ("ROWS", "COLUMNS")
READ_OPTIONS = ("valueRenderOption", "dateTimeRenderOption", "majorDimension")
WRITE_OPTIONS = (
    "valueInputOption",
    "includeValuesInResponse",
    "responseValueRenderOption",
    "responseDateTimeRenderOption",
)


class Rendering(NamedTuple):
    """How values are answered: `valueRenderOption`, `dateTimeRenderOption` and `majorDimension`."""

    values: str
    dates: str
    dimension: str

    @classmethod
    def of_read(cls, given: Mapping[str, Any]) -> Rendering:
        """Read it of a request that reads.

        Raises:
            RefusalError: 400, it asks for something that there is not.
        """
        value, date, dimension = READ_OPTIONS
        return cls(
            choice(given, value, *_RENDERINGS), choice(given, date, *_DATES), choice(given, dimension, *_DIMENSIONS)
        )

    @classmethod
    def of_write(cls, given: Mapping[str, Any]) -> Rendering:
        """Read it of what a request that writes says about its answer.

        Raises:
            RefusalError: 400, it asks for something that there is not.
        """
        *_, value, date = WRITE_OPTIONS
        return cls(choice(given, value, *_RENDERINGS), choice(given, date, *_DATES), "ROWS")


def get(spreadsheet: Spreadsheet, given: str, rendering: Rendering) -> dict[str, Any]:
    """Return the `ValueRange` of an A1 range, without the empty cells at its end."""
    target = resolve(spreadsheet, given)
    return _value_range(target.sheet, target.clipped(), rendering)


def update(spreadsheet: Spreadsheet, given: str, body: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Write a `ValueRange` to an A1 range, and return an `UpdateValuesResponse`."""
    return _update(spreadsheet, given, body, options)[0]


def _update(
    spreadsheet: Spreadsheet, given: str, body: Any, options: Mapping[str, Any]
) -> tuple[dict[str, Any], set[tuple[int, int, int]]]:
    """Write it, and return the response and the cells that were updated: sheet, row and column."""
    said = known(body, "data", "range", "majorDimension", "values")
    target = resolve(spreadsheet, given)
    if "range" in said and resolve(spreadsheet, text(said, "range")) != target:
        raise RefusalError(f"Requested writing within range [{given}], but the data is of [{said['range']}].")
    rows = _rows(said)
    box = _room(target, rows)
    _write(target.sheet, box, rows, _reader(options))
    cells = {(target.sheet.number, box.top + row, box.left + column) for row, column in _updated(rows)}
    return _written(spreadsheet, target.sheet, box, rows, options), cells


def batch_update(spreadsheet: Spreadsheet, body: Any) -> dict[str, Any]:
    """Write many `ValueRange`s, and return a `BatchUpdateValuesResponse`."""
    said = known(body, "data", "data", *WRITE_OPTIONS)
    responses, cells = [], set()
    for index, data in enumerate(listed(said, "data")):
        try:
            response, updated = _update(spreadsheet, text(known_range(data), "range"), data, said)
        except RefusalError as refusal:
            raise refusal.within(f"data[{index}]") from refusal
        responses.append(response)
        cells |= updated
    totals = {
        "totalUpdatedRows": len({(sheet, row) for sheet, row, _ in cells}),
        "totalUpdatedColumns": len({(sheet, column) for sheet, _, column in cells}),
        "totalUpdatedCells": sum(one.get("updatedCells", 0) for one in responses),
        "totalUpdatedSheets": len({sheet for sheet, _, _ in cells}),
    }
    answered = {name: total for name, total in totals.items() if total}
    return {"spreadsheetId": spreadsheet.id, **answered, "responses": responses}


def append(spreadsheet: Spreadsheet, given: str, body: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Write rows below the table that an A1 range holds, with new rows in the grid where it ends.

    A table is a block of cells that are not empty: a column without any value makes two of it. Of several in the range
    the lowest one is taken, and of those the last; if there is none, the rows are written where the range begins.
    """
    said = known(body, "data", "range", "majorDimension", "values")
    way = choice(options, "insertDataOption", "OVERWRITE", "INSERT_ROWS")
    target = resolve(spreadsheet, given)
    sheet, rows = target.sheet, _rows(said)
    table = _table(sheet, target.clipped())
    top, left = (table.bottom, table.left) if table else target.box[:2]
    width = max(map(len, rows), default=0)
    box = Box(top, left, top + len(rows), left + width)
    if box.right > sheet.column_count:
        raise beyond(sheet, box)
    if way == "INSERT_ROWS" and rows:
        insert(spreadsheet, sheet, "ROWS", top, len(rows))
    if box.bottom > sheet.row_count:
        resize(spreadsheet, sheet, "ROWS", box.bottom)
    _write(sheet, box, rows, _reader(options))
    updates = _written(spreadsheet, sheet, box, rows, options)
    found = {"tableRange": written(sheet.title, table)} if table else {}
    return {"spreadsheetId": spreadsheet.id, **found, "updates": updates}


def clear(spreadsheet: Spreadsheet, given: str) -> str:
    """Empty the cells of an A1 range, which keep their formats and notes, and return the range."""
    target = resolve(spreadsheet, given)
    box = target.clipped()
    sheet = target.sheet
    for index in range(box.top, min(box.bottom, len(sheet.row_data))):
        row = sheet.row_data[index]
        if len(row.values) > box.left:
            blank = row.cut(box.left, box.right)._replace(values=())
            sheet.row_data[index] = row.spliced(box.left, box.right, blank)
    return written(sheet.title, box)


def known_range(data: Any) -> dict[str, Any]:
    """Return a `ValueRange` that says where it belongs.

    Raises:
        RefusalError: 400, it does not.
    """
    said = known(data, "data", "range", "majorDimension", "values")
    if "range" not in said:
        raise RefusalError("range is required.")
    return said


def read(sheet: Sheet, box: Box, rendering: Rendering) -> list[list[Any]]:
    """Return the values of a box, without empty ones at the end of its rows or columns."""
    one = _renderer(rendering)
    rows = [
        [one(row.values[column], row.decoration(column)) for column in range(box.left, min(box.right, len(row.values)))]
        for row in sheet.row_data[box.top : box.bottom]
    ]
    if rendering.dimension == "COLUMNS":
        rows = [list(column) for column in zip_longest(*rows, fillvalue="")]
    for row in rows:
        while row and row[-1] == "":
            row.pop()
    while rows and not rows[-1]:
        rows.pop()
    return rows


def _renderer(rendering: Rendering) -> Callable[[Any, Decoration], Any]:
    if rendering.values == "FORMATTED_VALUE":
        return shown
    if rendering.dates == "SERIAL_NUMBER":
        return lambda value, _: "" if value is None else value
    return lambda value, decoration: shown(value, decoration) if value is None or is_date(decoration) else value


def _value_range(sheet: Sheet, box: Box, rendering: Rendering) -> dict[str, Any]:
    values = read(sheet, box, rendering)
    where = {"range": written(sheet.title, box), "majorDimension": rendering.dimension}
    return where | ({"values": values} if values else {})


def _rows(said: Mapping[str, Any]) -> list[list[Any]]:
    rows = listed(said, "values")
    if not all(isinstance(row, list) for row in rows):
        raise RefusalError("Invalid value at 'values': a list of lists is expected.")
    if choice(said, "majorDimension", *_DIMENSIONS) == "COLUMNS":
        return [list(row) for row in zip_longest(*rows)]
    return rows


def _room(target: Target, rows: Sequence[Sequence[Any]]) -> Box:
    sheet, box = target.sheet, target.box
    width = max(map(len, rows), default=0)
    data = Box(box.top, box.left, box.top + len(rows), box.left + width)
    if not sheet.box.holds(box):
        raise beyond(sheet, box)
    if not sheet.box.holds(data):
        raise beyond(sheet, data)
    if not target.is_cell and not box.holds(data):
        line = f"row [{box.bottom + 1}]" if data.bottom > box.bottom else f"column [{column_letters(box.right)}]"
        raise RefusalError(f"Requested writing within range [{named(sheet, box)}], but tried writing to {line}")
    return data


def _reader(options: Mapping[str, Any]) -> bool:
    # True: as if a person had typed it.
    if "valueInputOption" not in options:
        raise RefusalError("'valueInputOption' is required but not specified")
    return choice(options, "valueInputOption", "RAW", "USER_ENTERED") == "USER_ENTERED"


def _write(sheet: Sheet, box: Box, rows: Iterable[Sequence[Any]], typed: bool) -> None:
    put = _typed_row if typed else _raw_row
    sheet.put(box.top, [put(sheet.row(box.top + index), box.left, given) for index, given in enumerate(rows)])


def _raw_row(row: Row, left: int, given: Sequence[Any]) -> Row:
    values = [*row.values, *[None] * (left + len(given) - len(row.values))]
    for column, value in enumerate(given, left):
        # Null says that a cell is to stay as it is.
        if value is not None:
            values[column] = raw(value)
    return Row(trimmed(tuple(values)), row.decorations)


def _typed_row(row: Row, left: int, given: Sequence[Any]) -> Row:
    entries = [entered(value) for value in given]
    typed = [
        entry.value if entry.value is not None or old is None else "" for old, entry in zip(given, entries, strict=True)
    ]
    written_row = _raw_row(row, left, typed)
    for column, entry in enumerate(entries, left):
        decoration = row.decoration(column)
        if entry.number_format and "numberFormat" not in decoration.format:
            decorated = decoration._replace(format={**decoration.format, "numberFormat": dict(entry.number_format)})
            one = Row((written_row.value(column),), (decorated,))
            written_row = written_row.spliced(column, column + 1, one)
    return written_row


def _updated(rows: Sequence[Sequence[Any]]) -> list[tuple[int, int]]:
    """Return row and column of each value that is not null, from 0: a null leaves its cell as it is."""
    return [(row, column) for row, given in enumerate(rows) for column, value in enumerate(given) if value is not None]


def _written(
    spreadsheet: Spreadsheet, sheet: Sheet, box: Box, rows: Sequence[Sequence[Any]], options: Mapping[str, Any]
) -> dict[str, Any]:
    cells = _updated(rows)
    counts = {
        "updatedRows": len({row for row, _ in cells}),
        "updatedColumns": len({column for _, column in cells}),
        "updatedCells": len(cells),
    }
    shown_box = box if counts["updatedCells"] else Box(box.top, box.left, box.top + 1, box.left + 1)
    answer: dict[str, Any] = {"spreadsheetId": spreadsheet.id, "updatedRange": written(sheet.title, shown_box)}
    if counts["updatedCells"]:
        answer |= counts
    if flag(options, "includeValuesInResponse"):
        answer["updatedData"] = _value_range(sheet, shown_box, Rendering.of_write(options))
    return answer


def _table(sheet: Sheet, box: Box) -> Box | None:
    """Find the last block of cells that are not empty, of those that have a cell in a box."""
    bottom = min(box.bottom, len(sheet.row_data))
    for top in range(bottom - 1, box.top - 1, -1):
        last = _filled(sheet.row_data[top], box.left, box.right)
        if last is not None:
            return _grown(sheet, Box(top, last, top + 1, last + 1))
    return None


def _grown(sheet: Sheet, block: Box) -> Box:
    """Grow a block until all cells around it are empty."""
    top, left, bottom, right = block
    while True:
        before = (top, left, bottom, right)
        while top > 0 and _filled(sheet.row(top - 1), left - 1, right + 1) is not None:
            top -= 1
        while bottom < len(sheet.row_data) and _filled(sheet.row(bottom), left - 1, right + 1) is not None:
            bottom += 1
        for row in sheet.row_data[top:bottom]:
            if left and any(value is not None for value in row.values[left - 1 : left]):
                left -= 1
            while len(row.values) > right and row.values[right] is not None:
                right += 1
        if before == (top, left, bottom, right):
            return Box(top, left, bottom, right)


def _filled(row: Row, left: int, right: int) -> int | None:
    for column in reversed(range(max(left, 0), min(right, len(row.values)))):
        if row.values[column] is not None:
            return column
    return None
