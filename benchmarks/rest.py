"""The benchmark of `make up` at rest: memory, and the share of one core, while nothing changes.

Memory is the proportional set size (PSS): what processes share counts once. All processes count, the sandbox's
PostgreSQL and stand-ins too. A run that begins meanwhile would count as well, so measure between two quarters of an
hour, some minutes after the start.

    make up, and beside it:  python -m benchmarks.rest [--seconds N] [--json]
"""

import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import psutil

from benchmarks.cpu import used_by
from benchmarks.reporting import Bar, arguments, finish, narrate
from cdp_sandbox.lifecycle import Sandbox
from cdp_sandbox.processes import is_alive

_GIGABYTES = 1.0
_PERCENT_OF_A_CORE = 8.0


def main() -> int:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=int, default=120, help="how long (default 120)")
    options = parser.parse_args()
    narrate(f"looking for {options.seconds} seconds")
    before = {name: used_by(processes) for name, processes in _parts(Path.cwd()).items()}
    began = time.monotonic()
    time.sleep(options.seconds)
    seconds = time.monotonic() - began
    rows = [
        {
            "what": name,
            "processes": len(processes),
            "PSS MB": sum(process.memory_full_info().pss for process in processes) / 1e6,
            "% of a core": (used_by(processes) - before[name]) / seconds * 100,
        }
        for name, processes in _parts(Path.cwd()).items()
    ]
    megabytes, percent = (sum(float(row[key]) for row in rows) for key in ("PSS MB", "% of a core"))
    number = sum(int(row["processes"]) for row in rows)
    return finish(
        f"`make up` at rest, for {options.seconds} seconds",
        [*rows, {"what": "all", "processes": number, "PSS MB": megabytes, "% of a core": percent}],
        [
            Bar("memory (PSS), gigabytes", megabytes / 1e3, _GIGABYTES, at_least=False),
            Bar("CPU, percent of a core", percent, _PERCENT_OF_A_CORE, at_least=False),
        ],
        as_json=options.as_json,
    )


def _parts(folder: Path) -> dict[str, set[psutil.Process]]:
    """The processes of each part, by what it is."""
    box = Sandbox(folder)
    postgres, marker = box.postgres.process(), box.state_dir / "up.json"
    if postgres is None or not marker.exists():
        sys.exit("Nothing is served in this folder: run `make up` first.")
    up = psutil.Process(json.loads(marker.read_text())["pid"])
    parts = defaultdict(set, {"PostgreSQL": _with_children(postgres), "cdp up": {up}})
    for process in box.services.processes():
        parts["stand-ins"] |= _with_children(process)
    for program in set(up.children()) - parts["stand-ins"]:
        # Programs are scripts that Python runs, but for those that write the logs.
        words = [Path(word).name for word in program.cmdline()[:3]]
        parts[" ".join(words[1:]) if words[0].startswith("python") else words[0]] |= _with_children(program)
    return parts


def _with_children(process: psutil.Process) -> set[psutil.Process]:
    return {each for each in (process, *process.children(recursive=True)) if is_alive(each)}


if __name__ == "__main__":
    sys.exit(main())
