"""Measures what campaigns cost: resolving an audience, handing messages over, sending them, and memory.

Each part compares ways in turns and says what it measures in its own module:

    campaign_audience   everybody decided in one statement, beside one by one
    campaign_ledger     messages reserved, handed over and confirmed in batches, beside one by one
    campaign_smtp       a relay that takes 5 ms a reply: reused connections with the ledger, beside the usual ways
    campaign_memory     the peak of a process, by the number of people

    python -m benchmarks.campaigns [--part PART] [--json]
"""

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

from benchmarks import campaign_audience, campaign_ledger, campaign_memory, campaign_smtp
from benchmarks.reporting import Bar, arguments, finish, narrate

Part: TypeAlias = Callable[[], tuple[list[dict[str, Any]], list[Bar]]]

_PARTS: dict[str, Part] = {
    "audience": campaign_audience.measure,
    "ledger": campaign_ledger.measure,
    "smtp": campaign_smtp.measure,
    "memory": campaign_memory.measure,
}


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--part", choices=list(_PARTS), action="append", help="measure this part only; may be repeated")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    bars: list[Bar] = []
    for part in given.part or _PARTS:
        narrate(part)
        measured, held = _PARTS[part]()
        rows += [_row(part, each) for each in measured]
        bars += held
    return finish("campaigns", rows, bars, as_json=given.as_json)


def _row(part: str, measured: dict[str, Any]) -> dict[str, Any]:
    """One form for the rows of all parts, which begin with what was measured, how many, and seconds."""
    what, number, seconds, *_ = measured.values()
    return {
        "part": part,
        "what": what,
        "number": number,
        "seconds": seconds,
        "a second": round(number / seconds) if seconds else None,
        "peak MB": measured.get("peak MB"),
    }


if __name__ == "__main__":
    sys.exit(main())
