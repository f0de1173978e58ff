"""Tables and sentences on a terminal of any width: figures are never cut, and data is printed as it is."""

import ast
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from datetime import datetime
from decimal import Decimal
from fcntl import ioctl
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from rich.cells import cell_len

from cdp_platform.cli import printing
from cdp_platform_tests.cli.rendering import WIDTHS, rendered, require_whole

ROOT = Path(__file__).resolve().parents[2]
MOMENT = datetime(2026, 11, 1, 2, 3, 4)  # noqa: DTZ001 (as the tables show it)

CUSTOMERS = (
    ["tenant", "customer", "segment", "currency", "90 d", "last order", "lifetime value", "score"],
    [
        ("cdnow", "01DzBksS1mzPO5WpCcGui0", "inactive", "USD", 0, "1997-06-17", Decimal("-5.00"), -10.0),
        ("saigon", "Hằng Đỗ", "happy", "VND", 1, "2026-11-12", Decimal(786149162), 43.0),
        ("tokyo", "山田太郎 [red]株式会社[/]", "happy", "JPY", 12, "2026-11-12", 1234567.891, 43.0),
    ],
)
ROUNDS = (
    ["of", "outcome", "at (UTC)", "shards", "groups", "products", "offers", "new", "changed", "unchanged", "gone"],
    [("Thảo Điền Fashion Group", "taken", MOMENT, 3, 1_000, 6_503, 12_345_678, 1_234, 12_345, 1, None)] * 2,
)
REJECTED = (
    ["source", "key", "code", "path", "message", "since (UTC)"],
    [("cdp_profile2conversion", "a" * 32, "not_a_number", "$.transactionValue", "'abc' is no number " * 6, MOMENT)],
)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("table", [CUSTOMERS, ROUNDS, REJECTED], ids=["customers", "rounds", "rejected"])
def test_no_figure_is_cut_and_no_column_is_missing(monkeypatch: pytest.MonkeyPatch, table: tuple, width: int):
    columns, rows = table
    require_whole(rendered(monkeypatch, width, "Title", columns, rows), width, columns, rows)


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.decimals(-(10**9), 10**9, places=2),
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001
    st.text(st.sampled_from("abc ăệ山\u0301[/red]:smile:"), max_size=60),
)


@effort(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), width=st.integers(40, 140), columns=st.integers(1, 12), count=st.integers(1, 4))
def test_any_table_is_whole_at_any_width(
    monkeypatch: pytest.MonkeyPatch, data: st.DataObject, width: int, columns: int, count: int
):
    names = [f"column {number}" for number in range(columns)]
    rows = [[data.draw(_VALUES) for _ in names] for _ in range(count)]
    require_whole(rendered(monkeypatch, width, "Title", names, rows), width, names, rows)


def test_without_a_terminal_each_row_is_one_line(tmp_path: Path):
    code = "from cdp_platform_tests.cli.test_printing import *; printing.show('T', *REJECTED, empty='')"
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    (row,) = [line for line in done.stdout.splitlines() if "a" * 32 in line]
    assert all(str(value).strip() in row for value in (*REJECTED[1][0][:-1], "2026-11-01 02:03:04"))


def test_a_real_terminal_of_eighty_columns_shows_every_figure(tmp_path: Path):
    code = "from cdp_platform_tests.cli.test_printing import *; printing.show('T', *CUSTOMERS, empty='')"
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=theirs, env=environment)
    os.close(theirs)
    shown = b""
    # At its end the terminal is gone, which is an error to read.
    while block := _read(ours):
        shown += block
    assert process.wait(60) == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()
    assert all(
        figure in " ".join(lines) for figure in ("786,149,162", "1,234,567.89", "-5.00", "山田太郎 [red]株式会社[/]")
    )
    assert max(map(cell_len, lines)) <= 80


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_numbers_stand_to_the_right_of_their_column_beside_wide_characters(monkeypatch: pytest.MonkeyPatch):
    lines = rendered(monkeypatch, 80, "T", ["name", "value"], [("山田", 5), ("Hằng", 12_345), ("a" * 30, None)])
    ends = {cell_len(line.rstrip()) for line in lines[3:6]}
    assert len(ends) == 1, lines


@pytest.mark.parametrize("words", ["[red]Anna[/red]", "[/]", ":smile: 100%", "[link=x]", "a\\[b]"])
def test_markup_in_data_is_printed_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str
):
    for lines in (
        rendered(monkeypatch, 80, words, [words], [(words,)]),
        rendered(monkeypatch, 40, words, [words, "b", "c"], [(words, 10**12, 10**15)]),
    ):
        assert "\n".join(lines).count(words) == 3
    printing.say(words, label="error:", style="red")
    assert capsys.readouterr().out == f"error: {words}\n"


def test_control_characters_in_data_do_not_reach_the_terminal(monkeypatch: pytest.MonkeyPatch):
    evil = "\x1b[2Jgone\x07\x9b31m\u202etxt.exe\r"
    shown = "\n".join(rendered(monkeypatch, 120, evil, ["name"], [(evil,)]))
    assert not printing._CONTROL.search(shown)
    assert r"\x1b[2Jgone\x07\x9b31m\x202etxt.exe" in shown


def test_a_sentence_is_folded_between_words_and_an_address_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    address = "http://127.0.0.1:29841/sheets/d/saigon-referrals/edit"
    monkeypatch.setattr(printing, "console", printing.Console(width=30))
    printing.say(f"There are 6,503 rows and 1,234,567 more of them in {address}")
    lines = capsys.readouterr().out.splitlines()
    assert address in lines
    assert " ".join(line.strip() for line in lines) == f"There are 6,503 rows and 1,234,567 more of them in {address}"
    assert all(cell_len(line) <= 30 for line in lines if line != address)


def test_every_command_prints_through_this_module():
    """No command has a table, a console or an echo of its own, so what is tested here holds for all of them."""
    found = []
    for path in Path(printing.__file__).parent.glob("*.py"):
        if path.name == "printing.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            found += [(path.name, name) for name in names if name.partition(".")[0] == "rich"]
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "click.echo", "click.secho"}:
                found.append((path.name, ast.unparse(node.func)))
    assert found == []
