"""Functions over dates: milliseconds since 1970 or ISO 8601 text, always UTC.

The server reckons in the proleptic Gregorian calendar from year 0 and lets days beyond the end of a month run over
into the next. Python's ``datetime`` does neither, hence the few lines of calendar arithmetic here.
"""

# ruff: noqa: D103 - the functions are ArangoDB's, and its manual documents them under these names.

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from cdp_sandbox.arango.aql.context import Context
from cdp_sandbox.arango.aql.functions.registry import aql
from cdp_sandbox.arango.aql.values import is_number, normal, to_int
from cdp_sandbox.arango.errors import ErrorNumber, not_implemented

_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000
_FIRST, _LAST = -62_167_219_200_000, 253_402_300_799_999
_INVALID = ErrorNumber.INVALID_DATE_VALUE
_DATE = re.compile(
    r"[ \t\r\n]*\+?(\d+)(?:-(\d{1,2})(?:-(\d{1,2}))?)?"
    r"(?:[ T](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d+))?)?)?"
    r"(?:[zZ]|([+-])(\d{1,2}):(\d{1,2}))?[ \t\r\n]*",
    re.ASCII,
)
_DURATION = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:[.,](\d{1,3}))?S)?)?",
    re.ASCII,
)
_UNITS = {
    "years": "year", "year": "year", "y": "year", "months": "month", "month": "month", "m": "month",
    "weeks": "week", "week": "week", "w": "week", "days": "day", "day": "day", "d": "day",
    "hours": "hour", "hour": "hour", "h": "hour", "minutes": "minute", "minute": "minute", "i": "minute",
    "seconds": "second", "second": "second", "s": "second",
    "milliseconds": "millisecond", "millisecond": "millisecond", "f": "millisecond",
}  # fmt: skip
_WIDTHS = {"week": 7 * _DAY, "day": _DAY, "hour": _HOUR, "minute": _MINUTE, "second": _SECOND, "millisecond": 1}
# A year and a month as differences between dates: averages over four hundred years.
_MEAN_WIDTHS = {**_WIDTHS, "year": 31_556_952_000, "month": 2_629_746_000}
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
_FORMAT = re.compile(
    "%&|%yyyyyy|%mmmm|%yyyy|%wwww|%mmm|%www|%fff|%xxx|%yy|%mm|%dd|%hh|%ii|%ss|%kk|%t|%z|%w|%y|%m|%d|%h|%i|%s|%f|%x|%k|"
    "%l|%q|%a|%%|%"
)


def days_of(year: int, month: int, day: int) -> int:
    """Returns the days since 1970 of a date; the day may lie outside the month."""
    shifted = year - (month <= 2)
    era, of_era = divmod(shifted, 400)
    of_year = (153 * (month + (9 if month <= 2 else -3)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def date_of(days: int) -> tuple[int, int, int]:
    """Returns year, month and day of a number of days since 1970."""
    era, of_era = divmod(days + 719_468, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + (3 if shifted < 10 else -9)
    return year + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1


def iso(stamp: int) -> str | None:
    """Returns a time as the server writes it, None outside the years 0 to 9999."""
    days, rest = divmod(stamp, _DAY)
    year, month, day = date_of(days)
    if not 0 <= year <= 9999:
        return None
    hour, minute, second = rest // _HOUR, rest // _MINUTE % 60, rest // _SECOND % 60
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest % 1000:03}Z"


def parse(text: str) -> int | None:
    """Returns the milliseconds since 1970 of ISO 8601 text, None if it is none."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or default) for part, default in zip(match.groups(), "011000"))  # noqa: B905
    if year > 9999 or not (1 <= month <= 12 and 1 <= day <= 31 and hour <= 23 and minute <= 59 and second <= 59):
        return None
    stamp = days_of(year, month, day) * _DAY + hour * _HOUR + minute * _MINUTE + second * _SECOND
    stamp += int((match[7] or "0")[:3].ljust(3, "0"))
    if match[8]:
        zone_hour, zone_minute = int(match[9]), int(match[10])
        if zone_hour > 23 or zone_minute > 59:
            return None
        # The sign holds for the hours only.
        shift = (zone_hour if match[8] == "+" else -zone_hour) * _HOUR + zone_minute * _MINUTE
        if match[8] == "-" and zone_minute:
            msg = "a time zone west of UTC by a part of an hour"
            raise not_implemented(msg)
        stamp -= shift
        if shift and not 0 <= date_of(stamp // _DAY)[0] <= 9999:
            return None
    return stamp


def _stamp(context: Context, function: str, value: Any) -> int | None:
    if is_number(value):
        stamp = int(value)
        valid = _FIRST <= stamp <= _LAST
    elif isinstance(value, str):
        stamp = parse(value)
        valid = stamp is not None
    else:
        return context.invalid_argument(function)
    return stamp if valid else context.warn_in(function, _INVALID)


def _text(context: Context, function: str, stamp: int) -> str | None:
    return iso(stamp) or context.warn_in(function, _INVALID)


def _from_parts(context: Context, function: str, parts: tuple[Any, ...]) -> int | None:
    if len(parts) == 1:
        return _stamp(context, function, parts[0])
    if len(parts) < 3 or not all(is_number(part) or isinstance(part, str) for part in parts):
        return context.invalid_argument(function)
    year, month, day, *rest = map(to_int, parts)
    hour, minute, second, millisecond = (*rest, 0, 0, 0, 0)[:4]
    if not 0 <= year <= 9999 or min(month, day, hour, minute, second, millisecond) < 0:
        return context.warn_in(function, _INVALID)
    if not 1 <= month <= 12 or day > 200:
        msg = f"{function}() of month {month} and day {day}"
        raise not_implemented(msg)
    whole = days_of(year, month, day) * _DAY + hour * _HOUR + minute * _MINUTE + second * _SECOND
    return whole + min(millisecond, 999)


@aql(least=0)
def date_now(context: Context) -> int:
    return context.now_ms


@aql(most=7)
def date_timestamp(context: Context, *parts: Any) -> int | None:
    return _from_parts(context, "DATE_TIMESTAMP", parts)


@aql(most=7)
def date_iso8601(context: Context, *parts: Any) -> str | None:
    stamp = _from_parts(context, "DATE_ISO8601", parts)
    return None if stamp is None else _text(context, "DATE_ISO8601", stamp)


@aql()
def is_datestring(_context: Context, value: Any) -> bool:
    return isinstance(value, str) and parse(value) is not None


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _iso_week(days: int) -> tuple[int, int]:
    """Returns year and number of the ISO week: the one its Thursday lies in."""
    thursday = days - (days + 3) % 7 + 3
    year = date_of(thursday)[0]
    return year, (thursday - days_of(year, 1, 1)) // 7 + 1


def _parts(stamp: int) -> dict[str, Any]:
    days, rest = divmod(stamp, _DAY)
    year, month, day = date_of(days)
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    week_year, week = _iso_week(days)
    return {
        "YEAR": year,
        "MONTH": month,
        "DAY": day,
        "HOUR": rest // _HOUR,
        "MINUTE": rest // _MINUTE % 60,
        "SECOND": rest // _SECOND % 60,
        "MILLISECOND": rest % 1000,
        "DAYOFWEEK": (days + 4) % 7,
        "DAYOFYEAR": days - days_of(year, 1, 1) + 1,
        "ISOWEEK": week,
        "ISOWEEKYEAR": {"week": week, "year": week_year},
        "LEAPYEAR": _leap(year),
        "QUARTER": (month + 2) // 3,
        "DAYS_IN_MONTH": days_of(*following, 1) - days_of(year, month, 1),
    }


def _part(name: str) -> Any:
    function = f"DATE_{name}"

    @aql(function)
    def part(context: Context, value: Any) -> Any:
        stamp = _stamp(context, function, value)
        return None if stamp is None else _parts(stamp)[name]

    return part


for _name in _parts(0):
    globals()[f"date_{_name.lower()}"] = _part(_name)


@aql(least=2)
def date_trunc(context: Context, value: Any, unit: Any) -> str | None:
    stamp = _stamp(context, "DATE_TRUNC", value)
    if stamp is None:
        return None
    if not isinstance(unit, str):
        return context.invalid_argument("DATE_TRUNC")
    name = _UNITS.get(unit.lower())
    year, month, _ = date_of(stamp // _DAY)
    if name in ("year", "month"):
        return iso(days_of(year, month if name == "month" else 1, 1) * _DAY)
    if name is None or name == "week":
        return context.warn_in("DATE_TRUNC", _INVALID)
    return iso(stamp - stamp % _WIDTHS[name])


@aql(least=3)
def date_round(context: Context, value: Any, amount: Any, unit: Any) -> str | None:
    stamp = _stamp(context, "DATE_ROUND", value)
    if stamp is None:
        return None
    name = _UNITS.get(unit.lower(), "") if isinstance(unit, str) else ""
    if name and unit not in _UNITS:
        msg = "DATE_ROUND() with a unit in upper case"
        raise not_implemented(msg)
    if not is_number(amount) or name not in _WIDTHS or name == "week" or to_int(amount) <= 0:
        return context.invalid_argument("DATE_ROUND")
    width = _WIDTHS[name] * to_int(amount)
    # Towards 1970, not towards the past.
    return iso(stamp // width * width if stamp >= 0 else -(-stamp // width * width))


def _moved(days: int, months: int) -> int:
    """Returns the day so many months later; a day the month does not have runs over into the next."""
    year, month, day = date_of(days)
    years, month = divmod(month - 1 + months, 12)
    return days_of(year + years, month + 1, day)


def _add(context: Context, function: str, sign: int, arguments: tuple[Any, ...]) -> str | None:
    value, amount, *units = arguments
    stamp = _stamp(context, function, value)
    if stamp is None:
        return None
    if not units:
        return _add_duration(context, function, sign, stamp, amount)
    unit = units[0]
    if not is_number(amount) or not isinstance(unit, str):
        return context.invalid_argument(function)
    name = _UNITS.get(unit.lower())
    if name is None:
        return context.warn_in(function, _INVALID)
    if abs(amount) > _LAST:
        msg = f"{function}() with a huge amount"
        raise not_implemented(msg)
    sign, left = (sign, float(amount)) if amount >= 0 else (-sign, -float(amount))
    days, rest = divmod(stamp, _DAY)
    for coarse, months, finer in (("year", 12, ("month", 12)), ("month", 1, ("day", 30))):
        if name == coarse:
            left, whole = math.modf(left)
            days = _moved(days, sign * months * int(whole))
            name, left = finer[0], left * finer[1]
    return _text(context, function, days * _DAY + rest + sign * int(_WIDTHS[name] * left))


def _add_duration(context: Context, function: str, sign: int, stamp: int, duration: Any) -> str | None:
    if not isinstance(duration, str):
        return context.invalid_argument(function)
    match = _DURATION.fullmatch(duration) if len(duration) > 1 else None
    if match is None:
        return context.warn_in(function, _INVALID)
    years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:7])
    if max(years, months, weeks, days, hours, minutes, seconds) > 1_000_000:
        msg = f"{function}() with a huge amount"
        raise not_implemented(msg)
    day, rest = divmod(stamp, _DAY)
    moved = _moved(_moved(day, sign * 12 * years), sign * months) * _DAY + rest
    width = (weeks * 7 + days) * _DAY + hours * _HOUR + minutes * _MINUTE + seconds * _SECOND
    width += int((match[8] or "0").ljust(3, "0"))
    return _text(context, function, moved + sign * width)


@aql(least=2, most=3)
def date_add(context: Context, *arguments: Any) -> str | None:
    return _add(context, "DATE_ADD", 1, arguments)


@aql(least=2, most=3)
def date_subtract(context: Context, *arguments: Any) -> str | None:
    return _add(context, "DATE_SUBTRACT", -1, arguments)


@aql(least=3, most=4)
def date_diff(context: Context, first: Any, second: Any, unit: Any, as_float: Any = False) -> float | int | None:
    start = _stamp(context, "DATE_DIFF", first)
    end = _stamp(context, "DATE_DIFF", second) if start is not None else None
    if start is None or end is None:
        return None
    if not isinstance(unit, str) or not isinstance(as_float, bool):
        return context.invalid_argument("DATE_DIFF")
    name = _UNITS.get(unit.lower())
    if name is None:
        return context.warn_in("DATE_DIFF", _INVALID)
    difference = (end - start) / _MEAN_WIDTHS[name]
    # Halves are rounded away from zero.
    return normal(difference) if as_float else int(math.copysign(math.floor(abs(difference) + 0.5), difference))


@aql(least=3, most=4)
def date_compare(context: Context, first: Any, second: Any, start: Any, *end: Any) -> bool | None:
    left = _stamp(context, "DATE_COMPARE", first)
    right = _stamp(context, "DATE_COMPARE", second) if left is not None else None
    if left is None or right is None:
        return None
    names = [_UNITS.get(unit.lower()) if isinstance(unit, str) else None for unit in (start, *end)]
    if None in names:
        return context.invalid_argument("DATE_COMPARE")
    order = ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND"]
    if "week" in names:
        msg = "DATE_COMPARE() by weeks"
        raise not_implemented(msg)
    bounds = [order.index(str(name).upper()) for name in names]
    if bounds[-1] < bounds[0]:
        msg = "DATE_COMPARE() from a smaller to a greater unit"
        raise not_implemented(msg)
    a, b = _parts(left), _parts(right)
    return all(a[name] == b[name] for name in order[bounds[0] : bounds[-1] + 1])


@aql(least=2)
def date_utctolocal(context: Context, value: Any, zone: Any) -> str | None:
    stamp = _stamp(context, "DATE_UTCTOLOCAL", value)
    if stamp is None:
        return None
    if not isinstance(zone, str):
        return context.invalid_argument("DATE_UTCTOLOCAL")
    days, rest = divmod(stamp, _DAY)
    year, month, day = date_of(days)
    if zone not in available_timezones() or not 1 < year < 9999:
        msg = "DATE_UTCTOLOCAL() of an unknown time zone, or at the ends of the calendar"
        raise not_implemented(msg)
    moment = datetime(year, month, day, tzinfo=UTC) + timedelta(milliseconds=rest)
    offset = moment.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()
    text = _text(context, "DATE_UTCTOLOCAL", stamp + int(offset.total_seconds()) * _SECOND)
    # A local time has no Z.
    return None if text is None else text[:-1]


@aql(least=2)
def date_format(context: Context, value: Any, pattern: Any) -> str | None:
    stamp = _stamp(context, "DATE_FORMAT", value)
    if stamp is None:
        return None
    if not isinstance(pattern, str):
        return context.invalid_argument("DATE_FORMAT")
    parts = _parts(stamp)
    year, month, weekday, week = parts["YEAR"], parts["MONTH"], parts["DAYOFWEEK"], parts["ISOWEEK"]
    texts = {
        "%&": "", "%": "", "%%": "%", "%t": str(stamp), "%z": iso(stamp) or "",
        "%yyyyyy": f"+{year:06}", "%yyyy": f"{year:04}", "%yy": f"{year % 100:02}", "%y": str(year),
        "%mmmm": _MONTHS[month - 1], "%mmm": _MONTHS[month - 1][:3], "%mm": f"{month:02}", "%m": str(month),
        "%dd": f"{parts['DAY']:02}", "%d": str(parts["DAY"]), "%hh": f"{parts['HOUR']:02}", "%h": str(parts["HOUR"]),
        "%ii": f"{parts['MINUTE']:02}", "%i": str(parts["MINUTE"]),
        "%ss": f"{parts['SECOND']:02}", "%s": str(parts["SECOND"]),
        "%fff": f"{parts['MILLISECOND']:03}", "%f": str(parts["MILLISECOND"]),
        "%wwww": _WEEKDAYS[weekday], "%www": _WEEKDAYS[weekday][:3], "%w": str(weekday),
        "%xxx": f"{parts['DAYOFYEAR']:03}", "%x": str(parts["DAYOFYEAR"]), "%kk": f"{week:02}", "%k": str(week),
        "%l": str(int(parts["LEAPYEAR"])), "%q": str(parts["QUARTER"]), "%a": str(parts["DAYS_IN_MONTH"]),
    }  # fmt: skip
    if (year < 1000 and "%y" in pattern) or re.search("%[A-Z]", pattern):
        msg = "DATE_FORMAT() of a year before 1000, or with placeholders in upper case"
        raise not_implemented(msg)
    return _FORMAT.sub(lambda match: texts[match[0]], pattern)
