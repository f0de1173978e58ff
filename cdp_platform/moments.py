"""Reads moments that outside systems write, as a text or as a number.

This module knows which layouts are moments. The caller decides whether a field may be empty, and what to do with a
document whose field is no moment.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

# A calendar date, extended or basic, alone or with a time after T or a space. `fromisoformat` checks the rest. It
# accepts any character for the T, so without this pattern 13 digits (epoch milliseconds) would be a day of 1712.
_ISO_8601 = re.compile(r"\d{4}(-?)\d\d\1\d\d(?:[Tt ]\d.*)?", re.ASCII)

_EPOCH = datetime.fromtimestamp(0, UTC)
# 1973-03-03 and 2100-01-01 in seconds since 1970. Between them, numbers of seconds, milliseconds, microseconds and
# nanoseconds do not overlap, so the size of a number shows its unit.
EARLIEST_SECOND = 10**8
_LATEST_SECOND = 4_102_444_800
# Seconds, milliseconds, microseconds and nanoseconds per second.
UNITS = (1, 10**3, 10**6, 10**9)


def moment(value: Any) -> datetime | None:
    """The moment of a value in UTC, to the microsecond; None if it is no moment.

    Texts are ISO 8601, basic or extended: a day (its first moment), or a day and a time with T or a space between. They
    are UTC if they have no offset. Numbers count seconds, milliseconds, microseconds or nanoseconds since 1970; their
    size shows the unit. Numbers that are before March 1973 or after 2099 in every unit are no moments.
    """
    try:
        if isinstance(value, str):
            # Most texts are like `2026-06-01T...Z` and need neither the pattern nor a conversion to UTC.
            if not (value[7:8] == "-" and value[10:11] == "T") and not _ISO_8601.fullmatch(value):
                return None
            found = datetime.fromisoformat(value.upper())
            if found.tzinfo is UTC:
                return found
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            for per_second in UNITS:
                if EARLIEST_SECOND * per_second <= value < _LATEST_SECOND * per_second:
                    whole, rest = divmod(value, per_second)
                    # Integers are cut, as `fromisoformat` cuts texts; floats are rounded, because they are inexact.
                    parts = rest * 10**6 // per_second if isinstance(value, int) else rest * 10**6 / per_second
                    return _EPOCH + timedelta(seconds=whole, microseconds=parts)
    except (ValueError, OverflowError):
        pass
    return None
