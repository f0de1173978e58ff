"""How numbers look: Google's general form, and number formats with a pattern.

Only patterns that can be shown right are taken; others are refused when a cell is to get them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any

from cdp_sandbox.sheets.errors import RefusalError, choice, known, lacking, text

# Day 0 of serial numbers.
EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 (a spreadsheet's time has no zone)
DATE_TYPES = frozenset({"DATE", "TIME", "DATE_TIME"})

_PATTERNS = {
    "TEXT": "@",
    "NUMBER": "#,##0.00",
    "PERCENT": "0.00%",
    "CURRENCY": "$#,##0.00",
    "DATE": "m/d/yyyy",
    "TIME": "h:mm:ss am/pm",
    "DATE_TIME": "m/d/yyyy h:mm:ss",
    "SCIENTIFIC": "0.00E+00",
}
_NUMBER = re.compile(r"(?P<before>[$€£]?)(?P<whole>#,##0|#,###|0|#)(?P<places>\.0+)?(?P<end>E\+00|%| ?[₫đ])?\Z")
_TOKEN = re.compile(r"yyyy|yy|mmmm|mmm|mm|m|dddd|ddd|dd|d|hh|h|ss\.000|ss|s|am/pm|[-/ .:,]|\"T\"|T")


def general(number: float) -> str:
    """Return a number as a cell without a format shows it."""
    if float(number).is_integer() and abs(number) < 1e15:
        return str(int(number))
    if 1e-5 <= abs(number) < 1e15:
        # Ten digits count, and those before the point are all shown.
        places = max(0, 9 - math.floor(math.log10(abs(number))))
        shown = f"{number:.{places}f}"
        return shown.rstrip("0").rstrip(".") if places else shown
    digits, _, exponent = f"{number:.5E}".partition("E")
    return f"{digits.rstrip('0').rstrip('.')}E{exponent[0]}{exponent[1:].zfill(2)}"


def checked(number_format: Any) -> dict[str, str]:
    """Return a number format that can be shown.

    Raises:
        RefusalError: 400, it is none; 501, it cannot be shown here.
    """
    said = known(number_format, "numberFormat", "type", "pattern")
    kind, pattern = choice(said, "type", "", *_PATTERNS), text(said, "pattern")
    if not kind:
        raise RefusalError("A number format must have a type.")
    if pattern and not (_date_tokens(pattern) if kind in DATE_TYPES else pattern == "@" or _NUMBER.match(pattern)):
        raise lacking(f"the number format {pattern!r}")
    return said


def formatted(number: float, number_format: Mapping[str, str]) -> str:
    """Return a number as a cell with a format shows it."""
    kind = number_format["type"]
    pattern = number_format.get("pattern") or _PATTERNS[kind]
    if kind in DATE_TYPES:
        return _moment(number, pattern)
    found = _NUMBER.match(pattern)
    if found is None:
        return general(number)
    places = len(found["places"] or ".") - 1
    end = found["end"] or ""
    if end == "E+00":
        digits, _, exponent = f"{number:.{places}E}".partition("E")
        return f"{digits}E{exponent[0]}{exponent[1:].zfill(2)}"
    if end == "%":
        number *= 100
    grouping = "," if "," in found["whole"] else ""
    # Halves go away from zero, as people round.
    shown = f"{_rounded(abs(number), places):{grouping}.{places}f}"
    sign = "-" if number < 0 and any(digit in "123456789" for digit in shown) else ""
    return f"{sign}{found['before']}{shown}{end}"


def _rounded(number: float, places: int) -> float:
    return float(Decimal(repr(number)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP))


@lru_cache(maxsize=256)
def _date_tokens(pattern: str) -> tuple[str, ...]:
    tokens, place = [], 0
    lowered = pattern.replace("AM/PM", "am/pm").replace("HH", "hh").replace("MM", "mm").replace("M", "m")
    while place < len(lowered):
        found = _TOKEN.match(lowered, place)
        if found is None:
            return ()
        tokens.append(found[0])
        place = found.end()
    return tuple(tokens)


def _moment(number: float, pattern: str) -> str:
    moment = EPOCH + timedelta(milliseconds=round(number * 86_400_000))
    tokens = _date_tokens(pattern)
    half = "am/pm" in tokens
    shown = []
    for place, token in enumerate(tokens):
        # An m is a minute after hours or before seconds, and else a month.
        before = [one for one in tokens[:place] if one[0] in "hdys" or one == "am/pm"]
        after = [one for one in tokens[place + 1 :] if one[0] in "hdys" or one == "am/pm"]
        minute = bool((before and before[-1][0] == "h") or (after and after[0][0] == "s"))
        shown.append(_part(moment, token, minute=minute, half=half))
    return "".join(shown)


def _part(moment: datetime, token: str, *, minute: bool, half: bool) -> str:
    hour = (moment.hour % 12 or 12) if half else moment.hour
    parts = {
        "yyyy": f"{moment.year:04}",
        "yy": f"{moment.year % 100:02}",
        "mmmm": f"{moment:%B}",
        "mmm": f"{moment:%b}",
        "mm": f"{moment.minute if minute else moment.month:02}",
        "m": f"{moment.minute if minute else moment.month}",
        "dddd": f"{moment:%A}",
        "ddd": f"{moment:%a}",
        "dd": f"{moment.day:02}",
        "d": f"{moment.day}",
        "hh": f"{hour:02}",
        "h": f"{hour}",
        "ss.000": f"{moment.second:02}.{moment.microsecond // 1000:03}",
        "ss": f"{moment.second:02}",
        "s": f"{moment.second}",
        "am/pm": f"{moment:%p}",
        '"T"': "T",
    }
    return parts.get(token, token)
