"""Ranges of ``updatedAt`` values, in AQL's order, that can be at or after a moment.

AQL sorts null, booleans, numbers and texts one after the other, and texts by collation. So `2026-06-01 10:00:00` is
before `2026-06-01T09:00:00Z`, the basic dates of a year are after all its extended ones, and `05:00:00-05:00` is before
`09:00:00Z` although it is an hour later. LEO CDP writes one layout, which sorts by time. Imports and scripts write
other layouts into the same collection. Each layout has a range of its own here, and one index on ``updatedAt`` serves
all ranges.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cdp_platform.moments import EARLIEST_SECOND, UNITS, moment

# Largest offset of a clock behind UTC: its text sorts this far before the moment. Clocks ahead of UTC need no range.
_MOST_BEHIND = timedelta(hours=12)

_EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)

# A pattern of AQL's LIKE for an offset with a minus: ten characters of the date, then a hyphen somewhere in the time.
_BEHIND_UTC = "__________%-%"


@dataclass(frozen=True)
class Range:
    """Values from ``begin`` up to but not including ``end``; with a pattern, only those that are LIKE it."""

    begin: Any
    end: Any
    pattern: str | None = None


def stamp(at: datetime) -> str:
    """A moment in LEO CDP's layout: ISO 8601 in UTC with milliseconds (or microseconds) and Z."""
    precision = "microseconds" if at.microsecond % 1000 else "milliseconds"
    return at.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def usable(value: Any) -> datetime | None:
    """The moment of an ``updatedAt`` that may become a watermark; None if it is no moment or before 1971.

    Earlier ones are the zeros of several clocks (1 January of the years 1, 1900 and 1970), and not moments.
    """
    found = moment(value)
    return found if found is not None and found >= _EARLIEST else None


def in_order(since: datetime) -> list[tuple[str, str | None]]:
    """Ranges of texts (None: without end) with all moments since this one in LEO CDP's layout.

    Read one after the other in AQL's order, their texts ascend with time. The first range ends with the extended dates
    of its year, before the basic ones.
    """
    return [(f"{since:%Y-%m-%dT%H:%M}", f"{since.year:04}0"), (f"{since.year + 1:04}", None)]


def scattered(since: datetime, now: datetime) -> list[dict[str, Any]]:
    """Ranges, as parameters of AQL, of all other values that can be moments since this one, up to now.

    They also include all values that are no moment: missing timestamps, booleans, numbers too small to be a time, and
    texts before the year 1971. Ranges may overlap.
    """
    second = max(int(since.timestamp()), EARLIEST_SECOND)
    behind = since - _MOST_BEHIND
    day, minute = f"{since:%Y-%m-%d}", f"{since:%H:%M}"
    behind_day, behind_minute = f"{behind:%Y-%m-%d}", f"{behind:%H:%M}"
    ends = [*(EARLIEST_SECOND * per_second for per_second in UNITS[1:]), ""]
    ranges = [
        Range(None, EARLIEST_SECOND),
        *(Range(second * unit, end) for unit, end in zip(UNITS, ends, strict=True)),
        Range("", "1971"),
        # Texts that begin with the 20th of a month, or with the year and something else than a hyphen.
        Range("20", "200"),
        Range(f"{since.year:04}", f"{since.year:04}-"),
        # Days without a time, also of a clock behind UTC.
        *(Range(each, f"{each} ") for each in sorted({behind_day, day})),
        # Hours without minutes.
        *(Range(f"{day}{each}", f"{day}{each}:") for each in (f" {since:%H}", f"T{since:%H}")),
        Range(f"{day} {minute}", f"{day}T"),
    ]
    if behind_day == day:
        ranges += [
            Range(f"{day} {behind_minute}", f"{day} {minute}", _BEHIND_UTC),
            Range(f"{day}T{behind_minute}", f"{day}T{minute}", _BEHIND_UTC),
        ]
    else:
        ranges += [
            Range(f"{behind_day} {behind_minute}", f"{behind_day}T", _BEHIND_UTC),
            Range(f"{behind_day}T{behind_minute}", f"{behind_day}U", _BEHIND_UTC),
            Range(f"{day} ", f"{day} {minute}", _BEHIND_UTC),
            Range(f"{day}T", f"{day}T{minute}", _BEHIND_UTC),
        ]
    # Basic dates, one range per year, because the extended dates of a year are before its basic ones.
    for year in range(behind.year, max(since.year, now.year) + 1):
        begin = f"{behind:%Y%m%d}" if year == behind.year else f"{year:04}0"
        ranges.append(Range(begin, f"{year + 1:04}"))
    return [asdict(each) for each in ranges]


def undated_words(collection: str, undated: int, source_count: int) -> str:
    """The message about documents without a usable timestamp."""
    return (
        f"{undated:,} of {source_count:,} documents of {collection} have no usable updatedAt: it is missing, "
        "unreadable or in the future. Every sync reads them again. Write it as 2026-06-01T10:00:00.000Z, in UTC."
    )
