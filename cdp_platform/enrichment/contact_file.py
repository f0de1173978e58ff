"""Files of contacts: CSV with a header, or one JSON object per line (``.jsonl``, ``.ndjson``).

Values stay as they came, formulas too. A line that is no contact becomes a `BadLine`; the others are taken.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cdp_platform import csv_file
from cdp_platform.enrichment import contact_fields
from cdp_platform.errors import ConfigurationError

_JSON_LINES = (".jsonl", ".ndjson")
# Bytes. One line of a file is in memory at a time.
_LONGEST_LINE = 2**20
# So much of the text of a bad line is kept.
_KEPT_CHARACTERS = 10_000


@dataclass(frozen=True)
class Line:
    """A contact.

    Attributes:
        line: where it begins in its file; the first line is 1.
        given: its fields as they came.
    """

    line: int
    given: dict[str, Any]


@dataclass(frozen=True)
class BadLine:
    """A line that is no contact.

    Attributes:
        line: where it begins in its file.
        code: a stable word for the reason.
        message: why, without data of the person.
        document: the content, to look at.
    """

    line: int
    code: str
    message: str
    document: dict[str, Any]


def lines(path: Path) -> Iterator[Line | BadLine]:
    """The lines of a file that are not empty.

    Raises:
        ConfigurationError: the file cannot be read as such a file.
    """
    if path.suffix.lower() in _JSON_LINES:
        yield from _json_lines(path)
        return
    for row in csv_file.rows(path, lambda columns: _require_a_known_column(path, columns)):
        if row.fields is None:
            message = "it has not as many fields as the header, or its quotation marks do not fit"
            yield BadLine(row.line, "not_a_row", message, {"values": row.values})
        else:
            yield Line(row.line, row.fields)


def _require_a_known_column(path: Path, columns: Sequence[str]) -> None:
    if not any(contact_fields.plain(column) in contact_fields.NAMES for column in columns):
        raise ConfigurationError(
            f"{path} has no column that says who somebody is, such as Email, First Name, Last Name, Company, Website "
            "or LinkedIn Url: its first line has to name them."
        )


def _json_lines(path: Path) -> Iterator[Line | BadLine]:
    try:
        csv_file.require_utf8(path)
        with path.open("rb") as file:
            number = 0
            while text := file.readline(_LONGEST_LINE):
                number, rest = number + 1, text
                while rest and not rest.endswith(b"\n"):
                    rest = file.readline(_LONGEST_LINE)
                text = text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text
                if text.strip():
                    yield _json_line(number, text)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error


def _json_line(number: int, text: bytes) -> Line | BadLine:
    if len(text) >= _LONGEST_LINE:
        return BadLine(number, "too_long", f"it has more than {_LONGEST_LINE:,} bytes", _shown(text))
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        return BadLine(number, "not_json", "it is no JSON in UTF-8", _shown(text))
    if not isinstance(given, dict):
        return BadLine(number, "not_an_object", "it is no JSON object", _shown(text))
    return Line(number, given)


def _shown(text: bytes) -> dict[str, Any]:
    return {"text": re.sub(r"\s+$", "", text.decode(errors="replace"))[:_KEPT_CHARACTERS]}
