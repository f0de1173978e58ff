"""Where cells are: A1 notation, and boxes of rows and columns.

Here belongs the reading and writing of addresses, without what is in the cells.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_CORNER = re.compile(r"\$?([A-Za-z]{0,3})\$?([0-9]{0,8})\Z")
_PLAIN_TITLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LOOKS_LIKE_A_CELL = re.compile(r"[A-Za-z]{1,3}[0-9]+\Z|[rR][0-9]*[cC][0-9]*\Z")


class Box(NamedTuple):
    """A rectangle of cells, from 0, without its bottom row and its right column."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left

    def within(self, other: Box) -> Box:
        """Return the part that lies in another box; it may be empty."""
        return Box(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )

    def touches(self, other: Box) -> bool:
        """Tell whether the two have a cell in common."""
        common = self.within(other)
        return common.height > 0 and common.width > 0

    def holds(self, other: Box) -> bool:
        """Tell whether another box lies in this one."""
        return self.within(other) == other


class Address(NamedTuple):
    """What an A1 range says: a sheet's title, None if it names none, and corners, None where it is open."""

    title: str | None
    top: int | None = None
    left: int | None = None
    bottom: int | None = None
    right: int | None = None


def column_letters(index: int) -> str:
    """Return the letters of a column: 0 is A, 26 is AA."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def column_index(letters: str) -> int:
    """Return the index of a column's letters."""
    index = 0
    for letter in letters.upper():
        index = index * 26 + ord(letter) - 64
    return index - 1


def quoted(title: str) -> str:
    """Return a title as Google writes it before an exclamation mark."""
    if _PLAIN_TITLE.match(title) and not _LOOKS_LIKE_A_CELL.match(title):
        return title
    return "'" + title.replace("'", "''") + "'"


def written(title: str, box: Box) -> str:
    """Return the A1 range of a box, as Google answers it."""
    start = f"{column_letters(box.left)}{box.top + 1}"
    end = f"{column_letters(box.right - 1)}{box.bottom}"
    return f"{quoted(title)}!{start}" + ("" if start == end else f":{end}")


def parse(text: str) -> Address | None:
    """Return what an A1 range says, or None if it is none: it can still be a sheet's title or a name."""
    title: str | None = None
    corners = text
    if "!" in text:
        sheet, _, corners = text.rpartition("!")
        title = unquoted(sheet)
    first, colon, last = corners.partition(":")
    start, end = _corner(first), _corner(last) if colon else _corner(first)
    if start is None or end is None:
        return None
    (top, left), (bottom, right) = start, end
    if not colon and (top is None or left is None):
        return None
    if top is None and left is None:
        return None
    rows = [one for one in (top, bottom) if one is not None]
    columns = [one for one in (left, right) if one is not None]
    # B2:D is open downwards and 2:D5 to the left; C3:A1 is A1:C3.
    if len(rows) == 2:
        top, bottom = min(rows), max(rows)
    else:
        top, bottom = (rows[0] if rows else None), None
    if len(columns) == 2:
        left, right = min(columns), max(columns)
    else:
        left, right = (columns[0] if columns else None), None
    return Address(title, top, left, None if bottom is None else bottom + 1, None if right is None else right + 1)


def unquoted(title: str) -> str:
    """Return a sheet's title without the quotes that it may stand in."""
    if len(title) >= 2 and title[0] == title[-1] == "'":
        return title[1:-1].replace("''", "'")
    return title


def _corner(text: str) -> tuple[int | None, int | None] | None:
    found = _CORNER.match(text)
    if found is None or not text:
        return None
    letters, digits = found.groups()
    if digits and int(digits) == 0:
        return None
    return int(digits) - 1 if digits else None, column_index(letters) if letters else None
