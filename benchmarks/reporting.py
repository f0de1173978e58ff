"""The end of every benchmark: it prints one table and the bars, or one JSON line, and exits 1 if a bar was missed.

Every run is appended to `.benchmarks/runs.jsonl`, which `python -m benchmarks.history` draws.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cdp_platform.cli.printing import show
from cdp_sandbox.postgres import server_version

RUNS = Path(__file__).parents[1] / ".benchmarks" / "runs.jsonl"
# Taken at the start, since the benchmark itself raises it.
_LOAD_BEFORE = os.getloadavg()[0]


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
    title: str,
    rows: Sequence[Mapping[str, Any]],
    bars: Sequence[Bar],
    *,
    notes: Sequence[str] = (),
    contestants: Sequence[str] = (),
    as_json: bool,
) -> int:
    """Print what was measured, keep it in `RUNS`, and return the exit code: 1 if a bar was missed.

    Args:
        title: what is compared, with its sizes.
        rows: one per contestant; the keys of the first are the columns. None is a figure that a contestant has not.
        bars: all of them, met or not.
        notes: what a reader has to know beside the figures.
        contestants: distributions that were measured, whose versions are shown beside those of what we stand on.
        as_json: one JSON line instead of tables.
    """
    missed = [bar for bar in bars if not bar.passed]
    held = [vars(bar) | {"passed": bar.passed} for bar in bars]
    run = {
        "benchmark": title,
        "command": _command(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": machine(),
        "load_before": round(_LOAD_BEFORE, 2),
        "versions": _versions(contestants),
        "rows": rows,
        "notes": notes,
        "bars": held,
        "passed": not missed,
    }
    line = json.dumps(run)
    RUNS.parent.mkdir(exist_ok=True)
    with RUNS.open("a") as file:
        file.write(f"{line}\n")
    if as_json:
        print(line)
    else:
        show(title, list(rows[0]), [list(row.values()) for row in rows], empty="Nothing was measured.")
        for note in notes:
            print(note)
        print(", ".join(f"{name} {number}" for name, number in run["versions"].items()))
        print(f"commit {run['commit']}, {run['machine']}, load {run['load_before']} before the run")
        print()
        show(
            "Bars",
            ["bar", "measured", "", "bound", "verdict"],
            [
                [
                    bar.name,
                    bar.measured,
                    relation(at_least=bar.at_least),
                    bar.bound,
                    verdict(passed=bar.passed),
                ]
                for bar in bars
            ],
            empty="No bars.",
        )
    for bar in missed:
        words = "at least" if bar.at_least else "at most"
        narrate(f"Missed: {bar.name} is {bar.measured:.3g} and has to be {words} {bar.bound:g}.")
    return 1 if missed else 0


def relation(*, at_least: bool) -> str:
    """How a figure has to stand to its bound."""
    return ">=" if at_least else "<="


def verdict(*, passed: bool) -> str:
    """The word for a bar that was held, or not."""
    return "met" if passed else "missed"


def machine() -> str:
    """Cores and model of the processor: runs of other machines are not comparable."""
    model = platform.machine()
    with contextlib.suppress(OSError):
        names = re.findall(r"(?m)^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text())
        model = names[0] if names else model
    return f"{os.cpu_count()} cores of {model}"


def _command() -> str:
    """The benchmark and its sizes, as they were typed: `sync --documents 20000`."""
    return shlex.join([Path(sys.argv[0]).stem, *(word for word in sys.argv[1:] if word != "--json")])


def _commit() -> str:
    """The commit of this checkout, with a plus sign if files differ from it; "unknown" outside of git."""
    try:
        commit, changes = (
            subprocess.run(
                ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}+" if changes else commit


def _versions(contestants: Sequence[str]) -> dict[str, str]:
    return {
        "PostgreSQL": server_version(),
        "Python": platform.python_version(),
        **{name: version(name) for name in ("dagster", "psycopg", *contestants)},
    }
