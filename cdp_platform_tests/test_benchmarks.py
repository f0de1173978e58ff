import re
import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest

from benchmarks import history, reporting
from benchmarks.cpu import cpu_seconds
from benchmarks.reporting import Bar, finish

# The system counts in hundredths of a second, so a little less is asked for below.
BUSY = "import time\nwhile time.process_time() < 0.5: pass"
WAIT = "import sys\nsys.stdin.read()"


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    """Runs of these tests are not those of the machine."""
    monkeypatch.setattr(reporting, "RUNS", tmp_path / "kept" / "runs.jsonl")
    monkeypatch.setattr(sys, "argv", ["benchmarks/sync.py", "--documents", "10", "--json"])


def ended(measured, bound=6, name="one process, to the merge that the contestant's documentation advises"):
    return finish(
        "sync of 10 documents", [{"s": 1}], [Bar(name, measured, bound)], contestants=["click"], as_json=False
    )


def test_a_report_says_what_was_measured_with_which_versions_and_whether_bars_were_met(capsys):
    assert ended(7) == 0
    assert ended(5) == 1
    printed = capsys.readouterr()
    assert re.search(r"PostgreSQL \d+\.\d+, Python 3\.\d+\.\d+, dagster 1\.\S+, psycopg 3\.\S+, click \d", printed.out)
    assert re.search(r"commit \S+, \d+ cores of .+, load \d+\.\d+ before the run", printed.out)
    assert printed.out.index(" met") < printed.out.index(" missed")
    assert "has to be at least 6" in printed.err


def test_history_draws_the_runs_of_this_machine_in_80_columns(capsys, monkeypatch):
    for measured in (1, 4, 8):
        ended(measured)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(reporting, "machine", lambda: "another machine")
        ended(100)
    monkeypatch.setattr(sys, "argv", ["benchmarks/history.py"])
    capsys.readouterr()
    assert history.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[1:])) <= 80
    assert lines[2] == "sync --documents 10"
    assert lines[3].startswith("  3 runs, the last ")
    assert lines[-1].endswith("▂▅█       8 >= 6      met")


def test_history_without_runs_says_where_they_would_be(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks/history.py"])
    assert history.main() == 0
    assert str(reporting.RUNS) in capsys.readouterr().out


@pytest.mark.parametrize("measured", [[0, 0], [-1]])
def test_a_line_of_nothing_is_flat(measured):
    assert set(history.sparkline(measured)) == {"▁"}


def test_cpu_is_told_apart_by_side_and_counts_living_and_ended_children():
    with running(WAIT) as quiet, running(f"{BUSY}\nprint(flush=True)\n{WAIT}") as busy:
        busy.stdout.readline()
        server, ours = cpu_seconds(psutil.Process(busy.pid)), cpu_seconds(psutil.Process(quiet.pid))
    assert server.server >= 0.45
    assert ours.client - server.client >= 0.45
    with running(WAIT) as quiet:
        before = cpu_seconds(psutil.Process(quiet.pid))
        subprocess.run([sys.executable, "-c", BUSY], check=True)
        used = cpu_seconds(psutil.Process(quiet.pid)) - before
    assert used.client >= 0.45
    assert used.server < 0.1


@contextmanager
def running(program):
    """A child of this process, as a server may be one: its time must not be counted on both sides."""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
