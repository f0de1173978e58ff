"""What every benchmark does at its end: print one table and the bars, or one JSON line; exit 1 if a bar was missed."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdp_platform.cli.printing import show


@dataclass(frozen=True)
class Bar:
    """What a measured figure is held to.

    Attributes:
        name: what is measured, as a person would say it.
        measured: the figure.
        bound: the least (``at_least``) or the greatest that it may be.
    """

    name: str
    measured: float
    bound: float
    at_least: bool = True

    @property
    def passed(self) -> bool:
        """Whether the figure is on the right side of the bound, or on it."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The arguments that all benchmarks have."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON line instead of tables")
    return parser


def narrate(what: str) -> None:
    """Say on stderr what is being measured, for whoever waits."""
    print(what, file=sys.stderr, flush=True)


def finish(
    title: str, rows: Sequence[Mapping[str, Any]], bars: Sequence[Bar], *, notes: Sequence[str] = (), as_json: bool
) -> int:
    """Print what was measured and return the exit code: 1 if a bar was missed.

    Args:
        title: of the benchmark, with its sizes.
        rows: one per contestant; the keys of the first are the columns. None is a figure that a contestant has not.
        bars: all of them, passed or not.
        notes: what a reader has to know beside the figures.
        as_json: one JSON line instead of tables.
    """
    missed = [bar for bar in bars if not bar.passed]
    if as_json:
        held = [vars(bar) | {"passed": bar.passed} for bar in bars]
        print(json.dumps({"benchmark": title, "rows": rows, "notes": notes, "bars": held, "passed": not missed}))
    else:
        show(title, list(rows[0]), [list(row.values()) for row in rows], empty="Nothing was measured.")
        for note in notes:
            print(note)
        print()
        show(
            "Bars",
            ["bar", "measured", "", "bound", "verdict"],
            [
                [
                    bar.name,
                    bar.measured,
                    ">=" if bar.at_least else "<=",
                    bar.bound,
                    "passed" if bar.passed else "missed",
                ]
                for bar in bars
            ],
            empty="No bars.",
        )
    for bar in missed:
        relation = "at least" if bar.at_least else "at most"
        narrate(f"Missed: {bar.name} is {bar.measured:.3g} and has to be {relation} {bar.bound:g}.")
    return 1 if missed else 0
