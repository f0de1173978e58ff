"""The one reading of a moment that an outside system wrote, as a text or as a number.

Belongs here: which layouts are a moment, and which moment each is. Whether a field may be empty, and what becomes of a
document whose field is no moment, is for the caller.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

# A calendar date, extended or basic, alone or with a time behind T or a space. `fromisoformat` checks the rest. By
# itself it takes any character for the T, and so a text of 13 digits (epoch milliseconds) for a day of the year 1712.
_ISO_8601 = re.compile(r"\d{4}(-?)\d\d\1\d\d(?:[Tt ]\d.*)?", re.ASCII)

_EPOCH = datetime.fromtimestamp(0, UTC)
# 1973-03-03 and 2100-01-01 in seconds since 1970. Between these two, the same moment in seconds, milliseconds,
# microseconds and nanoseconds is four numbers of different size, and no number is two moments.
EARLIEST_SECOND = 10**8
_LATEST_SECOND = 4_102_444_800
# Of seconds, milliseconds, microseconds and nanoseconds: how many make a second.
UNITS = (1, 10**3, 10**6, 10**9)


def moment(value: Any) -> datetime | None:
    """The moment in UTC that a value says, to the microsecond, or None if it says none.

    Texts are ISO 8601, as a day (its first moment) or with a time, basic or extended, T or space between; UTC if they
    have no offset. Numbers count seconds, milliseconds, microseconds or nanoseconds since 1970; their size tells which.
    Numbers that would lie before March 1973 or after 2099 in every unit are no moments.
    """
    try:
        if isinstance(value, str):
            # Most are `2026-06-01T...Z`: they need neither the pattern nor a change of zone.
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
                    # Cut like the decimals of a text; a float's are rounded, because it has them only nearly.
                    parts = rest * 10**6 // per_second if isinstance(value, int) else rest * 10**6 / per_second
                    return _EPOCH + timedelta(seconds=whole, microseconds=parts)
    except (ValueError, OverflowError):
        pass
    return None
