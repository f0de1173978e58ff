"""What a table has to keep at any width."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from cdp_platform.cli import printing

WIDTHS = (40, 80, 100, 120)
# What `printing` promises to keep whole.
_LONGEST_WORD = 32


def rendered(
    monkeypatch: pytest.MonkeyPatch, width: int, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> list[str]:
    """The lines of a table on a terminal of this width."""
    file = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(printing, "console", Console(file=file, width=width, markup=False, highlight=False, emoji=False))
        printing.show(title, columns, rows, empty="nothing")
    return file.getvalue().splitlines()


def require_whole(lines: list[str], width: int, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """No figure, date or word is cut, no column is missing, and nothing runs out of the terminal."""
    for name in columns:
        assert [word for word in name.split() if not any(word in line for line in lines)] == [], name
    for row in rows:
        for value in row:
            plain = printing._cell(value).plain
            words = [word for word in plain.split() if cell_len(word) <= _LONGEST_WORD]
            for part in words if isinstance(value, str) else [plain]:
                assert any(part in line for line in lines), (part, lines)
    longest = max(
        cell_len(word) for row in rows for value in row for word in printing._cell(value).plain.split() or [""]
    )
    too_wide = [line for line in lines if cell_len(line) > width]
    # Only a word that is longer than the line may stand out.
    assert not too_wide or longest + 4 > width - max(map(cell_len, columns)), too_wide
