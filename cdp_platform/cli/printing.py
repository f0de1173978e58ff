"""How the command line shows things: tables, JSON, progress bars."""

import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime, timedelta
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

# In a file or a pipe there is no width to keep to; in a terminal, what is long folds.
console = Console(width=None if sys.stdout.isatty() else 160)
# Where bars are drawn: what a command reports, JSON above all, stays alone on stdout.
_bars_console = Console(stderr=True)

_SHORT = 12

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """Print rows as a table; numbers to the right. Without rows, say what that means."""
    if not rows:
        console.print(empty)
        return
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for position, name in enumerate(columns):
        numeric = all(isinstance(row[position], int | float) or row[position] is None for row in rows)
        # Figures, dates and short words stay whole; what is long gives way to them.
        short = numeric or all(len(_cell(row[position])) <= _SHORT for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=short)
    for row in rows:
        table.add_row(*map(_cell, row))
    console.print(table)


def show_json(value: Any) -> None:
    """Print dataclasses, and whatever they hold, as JSON."""
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
def bars() -> Generator[Callable[[str, str], Callable[[int, int | None], None]]]:
    """Progress bars, one for each (tenant, subject) that begins; the `progress` resource of assets.

    They are gone at the end, when a table says the same; in a file or a pipe they are not drawn at all.
    """
    if not _bars_console.is_terminal:
        yield lambda _tenant_id, _subject: lambda _done, _total: None
        return
    with Progress(
        TextColumn("{task.description:<38}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=_bars_console,
        transient=True,
    ) as progress:
        tasks: dict[tuple[str, str], TaskID] = {}

        def begin(tenant_id: str, subject: str) -> Callable[[int, int | None], None]:
            # A step that is tried again goes on in its bar.
            task = tasks.get((tenant_id, subject))
            if task is None:
                task = tasks[tenant_id, subject] = progress.add_task(f"{tenant_id} [dim]{subject}[/]", total=None)

            def advance(done: int, total: int | None) -> None:
                # Of an incremental read nobody knows the total before its end: what was read is all there was.
                progress.update(task, completed=done, total=total if total is not None else max(done, 1))

            return advance

        yield begin


def _cell(value: Any) -> str:
    if value is None:
        return "[dim]-[/]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.2f}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    words = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "error": "[red]error[/]"}
    return words.get(str(value), escape(str(value)))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
