"""CSV files as people save them from spreadsheets and other programs.

UTF-8, with or without a byte order mark; a header; comma, semicolon, tab or bar between values, as the header has it or
as Excel's line ``sep=;`` before it says. Values stay texts: a formula is a text that begins with ``=``.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

from cdp_platform.errors import ConfigurationError

_ADVICE = "Save it as CSV in UTF-8 (in Excel: CSV UTF-8)."
# How other kinds of files begin.
_OTHERS = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"PK\x03\x04": "an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
}
# Characters. One line of a file is in memory at a time.
_LONGEST_LINE = 2**20
_SEPARATORS = ",;\t|"
_EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n?')


@dataclass(frozen=True)
class Row:
    """One row below the header.

    Attributes:
        line: where it begins in the file; the first line is 1.
        fields: its values by the name of their column; None if they do not fit the header.
        values: as they came.
    """

    line: int
    fields: dict[str, str] | None
    values: list[str]


def rows(path: Path, check: Callable[[Sequence[str]], None]) -> Iterator[Row]:
    """The rows of a file that are not empty.

    Args:
        path: of the file.
        check: called with the names of the columns before the first row, and raises for columns that it cannot use. A
            column without a name, or with the name of an earlier one, has its number in its name.

    Raises:
        ConfigurationError: the file cannot be read as such a table.
    """
    begins = 0
    try:
        require_utf8(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = _lines(path, file)
            first = next(lines, "")
            before = 0
            if told := _EXCEL_SEPARATOR.fullmatch(first):
                separator, before, first = told[1], 1, next(lines, "")
            else:
                separator = _separator(first)
            reader = csv.reader(chain([first], lines), delimiter=separator, strict=True)
            columns = _columns(next(reader, []))
            check(columns)
            while True:
                begins = before + reader.line_num + 1
                try:
                    values = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    # A quote that is not closed takes in all lines up to the end or the limit.
                    if "end of data" in str(error) or "limit" in str(error):
                        raise
                    yield Row(begins, None, [])
                    continue
                if any(value.strip() for value in values):
                    yield Row(begins, _fields(columns, values), values)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8. {_ADVICE}") from error
    except csv.Error as error:
        raise ConfigurationError(
            f"{path} is no CSV from line {max(begins, 1)} on: {error}. Is a quotation mark there that is not closed?"
        ) from error


def require_utf8(path: Path) -> None:
    """Refuse a file whose first bytes say that it is something else.

    Raises:
        ConfigurationError: it is; says what it is.
    """
    with path.open("rb") as file:
        head = file.read(4)
    other = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), None)
    # UTF-16 without a byte order mark has a zero in each letter of English.
    if other is None and b"\x00" in head:
        other = "UTF-16"
    if other:
        raise ConfigurationError(f"{path} is {other} and not UTF-8. {_ADVICE}")


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE and not line.endswith("\n"):
            raise ConfigurationError(f"{path} has a line of more than {_LONGEST_LINE:,} characters: it is no table.")
        yield line


def _separator(header: str) -> str:
    unquoted = re.sub(r'"[^"]*"', "", header)
    return max(_SEPARATORS, key=unquoted.count)


def _columns(header: Sequence[str]) -> list[str]:
    names: list[str] = []
    for number, name in enumerate(map(str.strip, header), start=1):
        names.append(f"{name or 'column'} {number}" if not name or name in names else name)
    return names


def _fields(columns: Sequence[str], values: Sequence[str]) -> dict[str, str] | None:
    # Spreadsheets end rows with empty cells that no column has.
    if len(values) < len(columns) or any(value.strip() for value in values[len(columns) :]):
        return None
    return dict(zip(columns, values, strict=False))
