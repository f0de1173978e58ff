"""What a spreadsheet is made of: sheets, rows, and what a cell has beside its value.

Here belongs the data and how it is put together. Rows are never changed, only replaced: so a sheet can be copied by
copying a list, and what changed is found by looking at which rows are still the same object.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from cdp_sandbox.sheets.ranges import Box

# None is an empty cell. An empty text is never stored.
Value: TypeAlias = str | int | float | bool | None

EVERYBODY = "everybody"


class Decoration(NamedTuple):
    """What a cell has beside its value.

    Attributes:
        format: Google's `CellFormat`.
        note: Empty if there is none.
    """

    format: Mapping[str, Any] = {}
    note: str = ""


class Row(NamedTuple):
    """One row. Both parts end with their last cell that is not empty."""

    values: tuple[Value, ...] = ()
    decorations: tuple[Decoration | None, ...] = ()

    def value(self, column: int) -> Value:
        """Return the value of a cell; what is right of the last one is empty."""
        return self.values[column] if column < len(self.values) else None

    def decoration(self, column: int) -> Decoration:
        """Return what a cell has beside its value."""
        found = self.decorations[column] if column < len(self.decorations) else None
        return found or PLAIN

    def cut(self, left: int, right: int) -> Row:
        """Return the cells of some columns as a row of its own."""
        return Row(trimmed(self.values[left:right]), trimmed(self.decorations[left:right]))

    def spliced(self, left: int, right: int, middle: Row) -> Row:
        """Return the row with the columns from `left` to `right` replaced by as many of another row."""
        width = right - left
        return Row(
            _spliced(self.values, left, right, middle.values[:width]),
            _spliced(self.decorations, left, right, middle.decorations[:width]),
        )


PLAIN = Decoration()
EMPTY = Row()


@dataclass
class Sheet:
    """One worksheet.

    Attributes:
        number: Names it in the store; unlike `sheet_id` it is never used twice.
        index: Its place among the sheets, from 0.
        last_change: When its content or its properties last changed, UTC.
        row_data: Its rows from the first to the last that has a value or anything else.
        tab_color: Google's `Color`, None if it has none.
        merges: Merged cells.
        basic_filter: Google's `BasicFilter`, None if there is none.
        protected_ranges: Google's `ProtectedRange`s.
        dimensions: Properties of rows and columns that have any, by `ROWS` or `COLUMNS` and index.
        groups: Rows and columns that are grouped, by `ROWS` or `COLUMNS`: from 0, without the last.
    """

    number: int
    sheet_id: int
    title: str
    row_count: int = 1000
    column_count: int = 26
    index: int = 0
    hidden: bool = False
    frozen_row_count: int = 0
    frozen_column_count: int = 0
    hide_gridlines: bool = False
    tab_color: dict[str, Any] | None = None
    merges: list[Box] = field(default_factory=list)
    basic_filter: dict[str, Any] | None = None
    protected_ranges: list[dict[str, Any]] = field(default_factory=list)
    dimensions: dict[str, dict[int, dict[str, Any]]] = field(default_factory=lambda: {"ROWS": {}, "COLUMNS": {}})
    groups: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {"ROWS": [], "COLUMNS": []})
    last_change: datetime = field(default_factory=lambda: datetime.now(UTC))
    row_data: list[Row] = field(default_factory=list, repr=False)

    @property
    def rows(self) -> Sequence[Sequence[Value]]:
        """The values, row by row. Rows end with their last value, and the sheet with its last row that has one."""
        end = len(self.row_data)
        while end and not self.row_data[end - 1].values:
            end -= 1
        return [row.values for row in self.row_data[:end]]

    @property
    def box(self) -> Box:
        """The whole grid."""
        return Box(0, 0, self.row_count, self.column_count)

    def row(self, index: int) -> Row:
        """Return a row; those below the last one are empty."""
        return self.row_data[index] if index < len(self.row_data) else EMPTY

    def put(self, top: int, rows: Iterable[Row]) -> None:
        """Replace whole rows from `top` on."""
        new = list(rows)
        self.row_data.extend([EMPTY] * (top - len(self.row_data)))
        self.row_data[top : top + len(new)] = new

    def trim(self) -> None:
        """Forget empty rows at the end."""
        while self.row_data and self.row_data[-1] == EMPTY:
            self.row_data.pop()

    def draft(self) -> Sheet:
        """Return a copy that can be changed without changing this one."""
        kept = {one.name: copy.deepcopy(getattr(self, one.name)) for one in fields(self) if one.name != "row_data"}
        return Sheet(**kept, row_data=self.row_data.copy())


@dataclass
class Spreadsheet:
    """One spreadsheet with its sheets in order.

    Attributes:
        shared_with: E-mail addresses of the accounts that may read and write it, or `everybody`.
        created: When it was made, UTC.
        last_change: When anything in it last changed, UTC.
        named_ranges: Google's `NamedRange`s.
    """

    id: str
    title: str
    shared_with: list[str] | str = EVERYBODY
    locale: str = "en_US"
    time_zone: str = "Etc/GMT"
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    last_change: datetime = field(default_factory=lambda: datetime.now(UTC))
    named_ranges: list[dict[str, Any]] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)

    def is_shared_with(self, email: str) -> bool:
        """Tell whether an account may read and write it."""
        return self.shared_with == EVERYBODY or email in self.shared_with

    def by_id(self, sheet_id: int) -> Sheet | None:
        """Return the sheet of that id."""
        return next((one for one in self.sheets if one.sheet_id == sheet_id), None)

    def by_title(self, title: str) -> Sheet | None:
        """Return the sheet of that title. Google does not tell upper from lower case here."""
        return next((one for one in self.sheets if one.title.lower() == title.lower()), None)

    @property
    def cell_count(self) -> int:
        """Number of cells of all grids, empty ones too: what Google's limit is about."""
        return sum(one.row_count * one.column_count for one in self.sheets)

    def place(self, sheet: Sheet, index: int) -> None:
        """Put a sheet before the one that has this index, and count the indexes anew."""
        self.sheets = [one for one in self.sheets if one is not sheet]
        self.sheets.insert(index, sheet)
        self.renumber()

    def renumber(self) -> None:
        """Give every sheet the index of its place."""
        for index, sheet in enumerate(self.sheets):
            sheet.index = index

    def draft(self) -> Spreadsheet:
        """Return a copy that can be changed without changing this one."""
        return replace(
            self, named_ranges=copy.deepcopy(self.named_ranges), sheets=[sheet.draft() for sheet in self.sheets]
        )


def trimmed(cells: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return cells up to the last that is not empty."""
    end = len(cells)
    while end and cells[end - 1] is None:
        end -= 1
    return cells[:end]


def _spliced(cells: tuple[Any, ...], left: int, right: int, middle: tuple[Any, ...]) -> tuple[Any, ...]:
    if not middle and len(cells) <= left:
        return cells
    before = cells[:left] + (None,) * (left - len(cells))
    return trimmed(before + middle + (None,) * (right - left - len(middle)) + cells[right:])
