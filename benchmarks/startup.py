"""What Dagster and our definitions cost around the work: a materialization as a whole process, beside a one-line asset.

All are the same command for the same tenant, in turns, with the same Dagster storage on an embedded PostgreSQL:

    dagster asset materialize -m MODULE --select ASSET --partition TENANT

The one-line asset has the same kind of partition and nothing else: as Dagster runs it by default, in a process of its
own for the step, and in process as ours runs. Ours has nothing new to read.

Only the asset's own `seconds`, which its materialization states, count as work and are taken off. They hold its
connections to both sides and what it imports for them, so the ratio with all of it is shown too. The four checks that
ours runs, each a step for Dagster with events to store, are not taken off. A ratio is the median of the rounds' ratios.

    python -m benchmarks.startup [--rounds N] [--json]
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import dagster as dg

from benchmarks.reporting import Bar, arguments, finish, narrate
from cdp_sandbox.demo.model import HARBOUR
from cdp_sandbox.lifecycle import Sandbox

_PROGRAMS = Path(sys.executable).parent
_DAGSTER_YAML = Path(__file__).parents[1] / "dagster.yaml"

_ONE_LINE = """\
import dagster as dg


@dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name="tenant"))
def one_line():
    return 1
"""
_ONE_LINE_IN_PROCESS = f"{_ONE_LINE}\n\ndefs = dg.Definitions([one_line], executor=dg.in_process_executor)\n"

_OURS = dg.AssetKey(["customers", "cdp_profiles"])


@dataclass
class Contestant:
    """A module with an asset, and what its rounds measured, in seconds.

    Attributes:
        wall: of the whole process.
        cpu: of the process and of those that it waited for; PostgreSQL's is not in it.
        work: of the asset itself, in ``wall``.
    """

    name: str
    module: str
    asset: str
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)

    def to(self, other: "Contestant", *, above_work: bool) -> float:
        """How many times as long as the other it takes, median of the rounds."""
        taken_off = self.work if above_work else [0.0] * len(self.wall)
        return median(
            (wall - work) / others for wall, work, others in zip(self.wall, taken_off, other.wall, strict=True)
        )


def _run(root: Path, program: str, *words: str) -> None:
    """Run a program of the platform in a folder that says where all services are."""
    home = root.parent / "home"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    done = subprocess.run(
        [_PROGRAMS / program, *words], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{program} {' '.join(words)} failed:\n{done.stdout}{done.stderr}")


@contextmanager
def _checkout() -> Generator[Path]:
    """A folder of its own with a sandbox, demo tenants and the modules with one line."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "checkout"
        root.mkdir()
        (Path(folder) / "home").mkdir()
        shutil.copyfile(_DAGSTER_YAML, root / "dagster.yaml")
        (root / "one_line.py").write_text(_ONE_LINE)
        (root / "one_line_in_process.py").write_text(_ONE_LINE_IN_PROCESS)
        try:
            _run(root, "cdp", "demo", "--scale", "small")
            yield root
        finally:
            Sandbox(root).reset()


def _materialize(root: Path, contestant: Contestant) -> None:
    words = ("-m", contestant.module, "--select", contestant.asset, "--partition", HARBOUR.id)
    narrate(f"  {contestant.name}")
    used = _cpu_of_children()
    began = time.perf_counter()
    _run(root, "dagster", "asset", "materialize", *words)
    contestant.wall.append(time.perf_counter() - began)
    contestant.cpu.append(_cpu_of_children() - used)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _seconds_of_work(instance: dg.DagsterInstance) -> float:
    """What the latest materialization of our asset says of its work."""
    event = instance.get_latest_materialization_event(_OURS)
    made = event.asset_materialization if event else None
    if made is None or made.partition != HARBOUR.id:
        raise RuntimeError(f"{_OURS.to_user_string()} was not materialized for {HARBOUR.id}")
    return float(made.metadata["seconds"].value)  # ty: ignore[invalid-argument-type] (stated as a float)


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often each contestant runs")
    given = parser.parse_args()
    one_line = Contestant("one line", "one_line", "one_line")
    in_process = Contestant("one line, in process", "one_line_in_process", "one_line")
    ours = Contestant("ours", "cdp_platform.definitions", _OURS.to_user_string())
    contestants = (one_line, in_process, ours)
    narrate("making a sandbox with demo tenants")
    with _checkout() as root:
        # Where dagster.yaml finds Dagster's database.
        os.environ.update(Sandbox(root).environment())
        with dg.DagsterInstance.get() as instance:
            for number in range(1, given.rounds + 1):
                narrate(f"round {number} of {given.rounds}")
                for contestant in contestants:
                    _materialize(root, contestant)
                ours.work.append(_seconds_of_work(instance))
    return finish(
        f"one tenant's profiles as a whole process, median of {given.rounds} rounds",
        [
            {
                "contestant": each.name,
                "seconds": round(median(each.wall), 2),
                "work": round(median(each.work), 2) if each.work else None,
                "CPU seconds": round(median(each.cpu), 2),
                "to one line": round(each.to(one_line, above_work=False), 2),
                "to one line, in process": round(each.to(in_process, above_work=False), 2),
            }
            for each in contestants
        ],
        [
            Bar(f"ours above its work, to {other.name}", ours.to(other, above_work=True), 1.3, at_least=False)
            for other in (one_line, in_process)
        ],
        as_json=given.as_json,
    )


if __name__ == "__main__":
    sys.exit(main())
