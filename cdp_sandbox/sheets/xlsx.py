"""A spreadsheet as an Excel file: its visible worksheets, numbers as numbers and texts as texts.

Here belongs what Excel wants otherwise than Google Sheets. How a spreadsheet looks in a browser is in `pages.py`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from cdp_sandbox.sheets.store import Sheet, Spreadsheet, Value

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

# What Excel can hold.
_MOST_ROWS = 1_048_576
_MOST_COLUMNS = 16_384
# UTF-16 units of a text.
_MOST_UNITS = 32_767
_LONGEST_TITLE = 31

_NOT_IN_TITLES = re.compile(r"[\[\]:*?/\\\x00-\x1f]|^'|'$")
# Excel takes a text that begins so for a formula as soon as a person edits it.
_LOOKS_LIKE_FORMULA = ("=", "+", "-", "@")
# Columns are as wide as the widest text of the first rows, within bounds. Unit: characters.
_LOOKED_AT = 100
_NARROWEST, _WIDEST = 6, 44
_BLOCK = 1 << 16


class TooLargeError(Exception):
    """A worksheet has more rows or columns than an Excel file can hold."""


def header_row_count(sheet: Sheet) -> int:
    """Return how many rows at the top are the header: those that are frozen, else the first."""
    return min(max(1, sheet.frozen_row_count), len(sheet.row_data))


def workbook(spreadsheet: Spreadsheet) -> Iterator[bytes]:
    """Return the visible worksheets as an Excel file, in blocks.

    The rows above the data are bold and stay in view. A text of more than 32,767 characters is cut and ends in an
    ellipsis: no cell of Excel holds more. Number formats stay behind, so a date is the number that it is stored as.

    Raises:
        TooLargeError: A worksheet does not fit. Nothing is written then.
    """
    visible = [sheet for sheet in spreadsheet.sheets if not sheet.hidden]
    for sheet in visible:
        if len(sheet.row_data) > _MOST_ROWS or _width(sheet) > _MOST_COLUMNS:
            raise TooLargeError(
                f"The worksheet {sheet.title} has {len(sheet.row_data):,} rows and {_width(sheet):,} columns; "
                f"an Excel worksheet holds {_MOST_ROWS:,} and {_MOST_COLUMNS:,}."
            )
    return _blocks(visible)


def _blocks(sheets: Sequence[Sheet]) -> Iterator[bytes]:
    with tempfile.TemporaryFile() as file:
        # Row by row: what is written is not kept in memory.
        with Workbook(file, {"constant_memory": True}) as book:
            bold = book.add_format({"bold": True, "bottom": 1})
            quoted = book.add_format({"quote_prefix": True})
            titles: set[str] = set()
            for sheet in sheets:
                title = _title(sheet.title, titles)
                titles.add(title.lower())
                _write(sheet, book.add_worksheet(title), bold=bold, quoted=quoted)
        file.seek(0)
        while block := file.read(_BLOCK):
            yield block


def _write(sheet: Sheet, into: Worksheet, *, bold: Format, quoted: Format) -> None:
    rows = sheet.rows
    into.freeze_panes(header_row_count(sheet), sheet.frozen_column_count)
    for column, width in enumerate(_widths(rows[:_LOOKED_AT], _width(sheet))):
        into.set_column(column, column, width)
    for number, row in enumerate(rows):
        style = bold if number < header_row_count(sheet) else None
        for column, value in enumerate(row):
            match value:
                case None:
                    pass
                case bool():
                    into.write_boolean(number, column, value, style)
                case str():
                    quote = None if style or not value.startswith(_LOOKS_LIKE_FORMULA) else quoted
                    into.write_string(number, column, _short_enough(value), style or quote)
                case _:
                    into.write_number(number, column, value, style)


def _short_enough(text: str) -> str:
    # Excel counts in UTF-16, so one character is one or two.
    units = text.encode("utf-16-le")
    if len(units) <= 2 * _MOST_UNITS:
        return text
    return units[: 2 * (_MOST_UNITS - 1)].decode("utf-16-le", "ignore") + "…"


def _width(sheet: Sheet) -> int:
    return max((len(row.values) for row in sheet.row_data), default=0)


def _widths(rows: Sequence[Sequence[Value]], columns: int) -> list[int]:
    widths = [_NARROWEST] * columns
    for row in rows:
        for column, value in enumerate(row):
            widths[column] = max(widths[column], min(len(str(value)) + 2, _WIDEST))
    return widths


def _title(title: str, taken: set[str]) -> str:
    plain = _NOT_IN_TITLES.sub("_", title)
    number, candidate = 1, plain[:_LONGEST_TITLE]
    # Excel does not tell upper from lower case here.
    while candidate.lower() in taken:
        number += 1
        ending = f" ({number})"
        candidate = plain[: _LONGEST_TITLE - len(ending)] + ending
    return candidate
