"""What a cell takes in and gives out: the JSON values of requests, and the values of answers.

Formulas are refused: what they give cannot be computed here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from cdp_sandbox.sheets.errors import RefusalError, lacking
from cdp_sandbox.sheets.formats import DATE_TYPES, EPOCH, formatted, general
from cdp_sandbox.sheets.grid import Decoration, Value

LONGEST_TEXT = 50_000

_PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_GROUPED_NUMBER = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?\Z", re.ASCII)
_PERCENTAGE = re.compile(r"([+-]?\d+(?:\.(\d+))?)%\Z", re.ASCII)
_DATE = re.compile(
    r"(?:(\d{4})-(\d{1,2})-(\d{1,2})|(\d{1,2})/(\d{1,2})/(\d{4}))(?: (\d{1,2}):(\d{2})(?::(\d{2}))?)?\Z", re.ASCII
)
# Google reads a date, a time, an amount or a formula in these, and which one is not known here.
_UNCLEAR = re.compile(
    r"[+]|[-][^\d.\s]|[$€£₫¥]\s*\d|[-+]?\d[\d.,]*\s*[$€£₫¥%]|\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?([ T].*)?\Z"
    r"|\d{1,2}:\d{2}|\d{1,2}\s*[ap]m\Z"
    r"|(\d{1,2}[ -])?(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[ .,-]+\d",
    re.IGNORECASE | re.ASCII,
)


class Entry(NamedTuple):
    """What is put into a cell; with a number format if Google gives it one by itself."""

    value: Value
    number_format: Mapping[str, str] | None = None


def raw(given: Any) -> Value:
    """Return the value of a JSON value that is stored as it is.

    Raises:
        RefusalError: 400, no cell holds it.
    """
    if given is None or isinstance(given, bool):
        return given
    if isinstance(given, str):
        if len(given) > LONGEST_TEXT:
            raise RefusalError(
                f"Your input contains more than the maximum of {LONGEST_TEXT} characters in a single cell."
            )
        return given or None
    if isinstance(given, int | float):
        # All numbers of a spreadsheet are floating-point, and whole ones are answered without a point.
        number = float(given)
        if not math.isfinite(number):
            raise RefusalError("A number is too large for a cell.")
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    kind = "list_value" if isinstance(given, list) else "struct_value"
    raise RefusalError(f"{kind} is no value of a cell")


def entered(given: Any) -> Entry:
    """Return what a JSON value becomes as if a person had typed it, in the locale en_US.

    Raises:
        RefusalError: 400, no cell holds it; 501, it is a formula, or what Google makes of it is not known here.
    """
    value = raw(given)
    if not isinstance(value, str):
        return Entry(value)
    text = value.strip()
    if value.startswith("'"):
        return Entry(value[1:] or None)
    if text.startswith("=") and len(text) > 1:
        raise lacking("formulas: what they give cannot be computed here. Write it RAW if it is meant as text")
    if text.upper() in {"TRUE", "FALSE"}:
        return Entry(text.upper() == "TRUE")
    if found := _number(text):
        return found
    if _UNCLEAR.match(text):
        raise lacking(f"a reading of {text[:40]!r}, in which Google sees a date, an amount or a formula")
    return Entry(value)


def extended(given: Any) -> Value:
    """Return the value of Google's `ExtendedValue`.

    Raises:
        RefusalError: 400, it is none; 501, it is a formula.
    """
    if not isinstance(given, Mapping) or len(given) > 1:
        raise RefusalError("Invalid value: one of numberValue, stringValue and boolValue is expected.")
    for kind, value in given.items():
        if kind == "formulaValue":
            raise lacking("formulas: what they give cannot be computed here")
        types = {"numberValue": int | float, "stringValue": str, "boolValue": bool}.get(kind)
        if types is None or not isinstance(value, types) or (kind == "numberValue" and isinstance(value, bool)):
            raise RefusalError(f"Invalid value at '{kind}': {str(value)[:40]!r}")
        return raw(value)
    return None


def shown(value: Value, decoration: Decoration | None) -> str:
    """Return what a person sees in the cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return value
    number_format = decoration.format.get("numberFormat") if decoration else None
    return formatted(value, number_format) if number_format else general(value)


def is_date(decoration: Decoration | None) -> bool:
    """Tell whether a number in the cell is a date or a time."""
    return bool(decoration) and decoration.format.get("numberFormat", {}).get("type") in DATE_TYPES


def _number(text: str) -> Entry | None:
    if _PLAIN_NUMBER.match(text):
        return Entry(raw(float(text)))
    if _GROUPED_NUMBER.match(text):
        pattern = "#,##0.00" if "." in text else "#,##0"
        return Entry(raw(float(text.replace(",", ""))), {"type": "NUMBER", "pattern": pattern})
    if found := _PERCENTAGE.match(text):
        return Entry(raw(float(found[1]) / 100), {"type": "PERCENT", "pattern": "0.00%" if found[2] else "0%"})
    found = _DATE.match(text)
    return _date(found) if found else None


def _date(found: re.Match[str]) -> Entry | None:
    year, month, day = (found[1], found[2], found[3]) if found[1] else (found[6], found[4], found[5])
    try:
        hour, minute, second = (int(found[part] or 0) for part in (7, 8, 9))
        moment = datetime(int(year), int(month), int(day), hour, minute, second)  # noqa: DTZ001
    except ValueError:
        return None
    days = (moment - EPOCH).total_seconds() / 86_400
    pattern = "yyyy-mm-dd" if found[1] else "m/d/yyyy"
    if not found[7]:
        return Entry(raw(days), {"type": "DATE", "pattern": pattern})
    pattern += " h:mm:ss" if found[9] else " h:mm"
    return Entry(raw(days), {"type": "DATE_TIME", "pattern": pattern})
