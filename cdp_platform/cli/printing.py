"""How the command line shows things: tables, sentences, JSON, progress bars.

A number or a date is never cut. A table that is wider than the terminal folds its texts between words; if that is not
enough, each row becomes a record of named values. Without a terminal the width is unlimited and nothing folds.
Data is printed as it is: markup in it has no effect, and control characters are shown as escapes.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from cdp_platform.orchestration.progress import Begin, Report

_UNLIMITED = 1_000_000
# Cells. Below this width even one date beside its name would have to be folded.
_NARROWEST = 40


def _console(*, stderr: bool = False) -> Console:
    asked = os.environ.get("COLUMNS", "")
    # COLUMNS is used without a terminal too: it is set only if somebody exported it.
    if asked.isdigit() and int(asked):
        width = max(int(asked), _NARROWEST)
    else:
        width = None if (sys.stderr if stderr else sys.stdout).isatty() else _UNLIMITED
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


console = _console()
# Progress and errors go here, so that stdout holds only the report, which may be JSON.
error_console = _console(stderr=True)

# Cells between two columns of a table.
_GAP = 2
# A text of at most this many cells is not folded.
_SHORT = 20
# A word is folded only if it is longer than this number of cells.
_LONGEST_WORD = 32
_STATES = {"ok": "green", "warn": "yellow", "error": "red"}
# Control characters, and characters that reverse the direction of the text after them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")


def file_option(about: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--file`, which has to be there; its path is the argument `path`, and `about` says what is in it."""
    kind = click.Path(exists=True, dir_okay=False, path_type=Path)
    return click.option("--file", "path", type=kind, required=True, help=about)


def say(words: str, *, label: str = "", style: str = "", to: Console | None = None) -> None:
    """Print a sentence, folded between words; a long address stays whole.

    Args:
        words: printed as they are.
        label: coloured word in front, such as ``error:``.
        style: of the label, or of the words where there is no label.
        to: stdout if not given, or ``error_console``.
    """
    to = to or console
    text = Text.assemble((label, style), " ", _clean(words)) if label else Text(_clean(words), style)
    for line in text.split("\n", allow_blank=True):
        for folded in _folded(line, to.width):
            _print(folded, to)


class Notes(logging.Handler):
    """Prints log records, such as what the platform waits for, on stderr and above the progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        say(record.getMessage(), label="note:", style="yellow", to=error_console)


def show_notes(package: str) -> None:
    """Print the warnings that this package logs."""
    logger = logging.getLogger(package)
    if not any(isinstance(handler, Notes) for handler in logger.handlers):
        logger.addHandler(Notes(logging.WARNING))


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """Print rows as a table, numbers to the right, or as records if the terminal is too narrow for a table.

    Args:
        title: printed above.
        columns: their names.
        rows: values, one per column.
        empty: printed instead if there are no rows; nothing is printed if blank.
    """
    if not rows:
        if empty:
            say(empty)
        return
    say(title, style="bold")
    shown = [_Column(name, [row[position] for row in rows]) for position, name in enumerate(columns)]
    widths = _fit([(column.narrowest, column.natural) for column in shown], console.width)
    if widths:
        console.print(_table(shown, widths))
    else:
        for line in _records(shown, console.width):
            _print(line, console)
    console.print()


def show_json(value: Any) -> None:
    """Print a value as JSON; it may hold dataclasses, moments and time spans."""
    click.echo(json.dumps(value, default=_plain, ensure_ascii=False, indent=2))


def duration(value: timedelta | None) -> str:
    """A time span as people say it: `3 h 12 min`."""
    if value is None:
        return "unknown"
    seconds = int(value.total_seconds())
    if seconds <= 0:
        return "0 s"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            whole, rest = divmod(seconds, length)
            below = {"d": (3600, "h"), "h": (60, "min"), "min": (1, "s")}[unit]
            return f"{whole} {unit} {rest // below[0]} {below[1]}" if rest >= below[0] else f"{whole} {unit}"
    return f"{seconds} s"


@contextmanager
def bars() -> Generator[Begin]:
    """Progress bars, one for each (tenant, subject) that begins; what `run_job` tells of its work.

    They disappear at the end, when a table shows the same. In a file or a pipe they are not drawn.
    """
    if not error_console.is_terminal:
        yield lambda _tenant_id, _subject: lambda _done, _total, _figures="": None
        return
    with Progress(
        TextColumn("{task.description}", markup=False),
        # On a narrow terminal the bar becomes shorter, the numbers stay whole.
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4, max_width=30)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[figures]}", markup=False),
        console=error_console,
        transient=True,
    ) as progress:
        tasks: dict[tuple[str, str], TaskID] = {}

        def begin(tenant_id: str, subject: str) -> Report:
            # A step that is tried again continues in the same bar.
            task = tasks.get((tenant_id, subject))
            if task is None:
                task = tasks[tenant_id, subject] = progress.add_task(f"{tenant_id} {subject}", total=None, figures="")

            def advance(done: int, total: int | None, figures: str = "") -> None:
                # The total of an incremental read is not known before its end. Until then it is what was read so far.
                known = total if total is not None else max(done, 1)
                progress.update(task, completed=done, total=known, figures=figures)

            return advance

        yield begin


class _Column:
    """One column: its cells as text, and how narrow it may become."""

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        self.name = name
        self.cells = [_cell(value) for value in values]
        self.numeric = all(value is None or _is_number(value) for value in values)
        widest = max(each.cell_len for each in self.cells)
        self.natural = max(widest, cell_len(name))
        words = max((cell_len(word) for each in self.cells for word in each.plain.split()), default=0)
        foldable = all(value is None or isinstance(value, str) for value in values)
        least = max(min(words, _LONGEST_WORD), min(widest, _SHORT)) if foldable else widest
        self.narrowest = max(least, *(cell_len(word) for word in name.split()), 1)


def _fit(limits: Sequence[tuple[int, int]], width: int) -> list[int] | None:
    """The width of each column: its natural width, or less if the terminal is narrower; None if they do not fit.

    Args:
        limits: least and natural width of each column.
        width: of the terminal.
    """
    widths = [least for least, _ in limits]
    left = width - _GAP * (len(limits) - 1) - sum(widths)
    if left < 0:
        return None
    # Columns that need the fewest cells more come first, so that the cells they leave go to the others.
    order = sorted(range(len(limits)), key=lambda position: limits[position][1] - limits[position][0])
    for behind, position in enumerate(order):
        least, natural = limits[position]
        more = min(natural - least, left // (len(order) - behind))
        widths[position] += more
        left -= more
    return widths


def _table(columns: Sequence[_Column], widths: Sequence[int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    for column, width in zip(columns, widths, strict=True):
        table.add_column(Text(column.name), justify="right" if column.numeric else "left", overflow="fold", width=width)
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    return table


def _records(columns: Sequence[_Column], width: int) -> Iterator[Text]:
    """One block per row: named values, as many per line as fit, at the same place in each block."""
    lines: list[list[_Column]] = []
    room = 0
    for column in columns:
        needed = _pair_width(column)
        if not lines or needed > room:
            lines.append([])
            room = width - (2 if len(lines) > 1 else 0)
        lines[-1].append(column)
        room -= needed + _GAP
    for number in range(len(columns[0].cells)):
        for position, line in enumerate(lines):
            text = Text("  " if position else "")
            for column in line:
                text.append(f"{column.name}: ", "dim")
                cell = column.cells[number].copy()
                blank = " " * (_pair_width(column) - cell_len(column.name) - 2 - cell.cell_len)
                text.append_text(Text.assemble(blank, cell) if column.numeric else Text.assemble(cell, blank))
                text.append(" " * _GAP)
            text.rstrip()
            # A single value may be longer than a line.
            for part, folded in enumerate(_folded(text, width - 4) if text.cell_len > width else [text]):
                yield Text("    ").append_text(folded) if part else folded


def _folded(line: Text, width: int) -> Iterator[Text]:
    """Split a line between its words into parts of this width; a longer word stays whole."""
    if line.cell_len <= width:
        yield line
        return
    part = Text()
    for word in line.split(" ", include_separator=True, allow_blank=True):
        if part.plain.strip() and part.cell_len + cell_len(word.plain.rstrip()) > width:
            yield part
            part = Text()
        part.append_text(word)
    yield part


def _print(line: Text, to: Console) -> None:
    line.rstrip()
    to.print(line, soft_wrap=True)


def _pair_width(column: _Column) -> int:
    return cell_len(column.name) + 2 + max(each.cell_len for each in column.cells)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _cell(value: Any) -> Text:
    if value is None:
        return Text("-", "dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, int | Decimal):
        return Text(f"{value:,}")
    if isinstance(value, float):
        # A large number shows cents only if it has some.
        figure = f"{value:,.2f}"
        return Text(figure.removesuffix(".00") if abs(value) >= 10_000 else figure)
    if isinstance(value, datetime):
        return Text(value.strftime("%Y-%m-%d %H:%M:%S"))
    words = " ".join(_clean(str(value)).expandtabs(1).splitlines())
    return Text(words, _STATES.get(words, ""))


def _clean(words: str) -> str:
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", words.replace("\r\n", "\n"))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
