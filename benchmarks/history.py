"""How the bars of this machine's benchmarks moved over their last runs, one line each, within 80 columns.

Runs of the same command are compared, that is, of the same sizes. A column of a line is a run, the last one on the
right; its height is the figure, from zero to the greatest of the line.

    python -m benchmarks.history
"""

import argparse
import json
import sys
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from benchmarks import reporting

_SHOWN = 16
_HEIGHTS = "▁▂▃▄▅▆▇█"
_COLUMNS = 80
_NAME = 36


def main() -> int:
    """Draw the runs; returns the exit code."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.history", description=(__doc__ or "").partition("\n")[0]
    ).parse_args()
    runs = _runs(reporting.machine())
    if not runs:
        print(
            f"No run of this machine ({reporting.machine()}) is kept yet. `make bench` keeps each in {reporting.RUNS}."
        )
        return 0
    print(reporting.machine())
    for command, of_command in sorted(runs.items()):
        print("\n" + "\n".join(_drawn(command, of_command)))
    return 0


def _runs(machine: str) -> dict[str, list[dict[str, Any]]]:
    """The kept runs of a machine by their command, the oldest first."""
    found = defaultdict(list)
    lines = reporting.RUNS.read_text().splitlines() if reporting.RUNS.exists() else []
    for run in map(json.loads, lines):
        if run["machine"] == machine:
            found[run["command"]].append(run)
    return found


def _drawn(command: str, runs: Sequence[dict[str, Any]]) -> list[str]:
    """A command, its last run, and a line for each bar of that run."""
    last = runs[-1]
    lines = [
        *textwrap.wrap(command, _COLUMNS),
        f"  {len(runs)} run{'s' if len(runs) > 1 else ''}, the last {last['at'][:16].replace('T', ' ')} UTC"
        f" of {last['commit']} at load {last['load_before']}",
    ]
    for bar in last["bars"]:
        figures = [one["measured"] for run in runs[-_SHOWN:] for one in run["bars"] if one["name"] == bar["name"]]
        *above, name = textwrap.wrap(bar["name"], _NAME)
        lines += [f"  {words}" for words in above]
        lines.append(
            f"  {name:{_NAME}} {sparkline(figures):>{_SHOWN}} {bar['measured']:>7.4g}"
            f" {reporting.relation(at_least=bar['at_least'])} {bar['bound']:<6.4g}"
            f" {reporting.verdict(passed=bar['passed'])}"
        )
    return lines


def sparkline(figures: Sequence[float]) -> str:
    """One character for each figure, as high as it is to the greatest."""
    greatest = max(figures, default=0.0)
    if greatest <= 0:
        return _HEIGHTS[0] * len(figures)
    return "".join(_HEIGHTS[round(max(figure, 0.0) / greatest * (len(_HEIGHTS) - 1))] for figure in figures)


if __name__ == "__main__":
    sys.exit(main())
