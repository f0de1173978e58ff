"""The logs of services that were running when a test failed: kept as files, and their ends shown in the report.

They are in `.artefacts/logs/<test>/` of the checkout (or below `TEST_ARTEFACTS`).
"""

import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

ARTEFACTS = Path(__file__).resolve().parents[1] / ".artefacts"
# When a service is gone, hundreds of tests may fail for that one reason.
_MOST_TESTS = 10
_MOST_BYTES = 1_000_000
_LINES_SHOWN = 25

_folders: list[Path] = []
_failed: set[str] = set()


def artefacts() -> Path:
    """Where tests keep files for a person to look at."""
    return Path(os.environ.get("TEST_ARTEFACTS") or ARTEFACTS)


def watch(folder: Path) -> None:
    """Keep the logs below this folder when a test fails. The folder may not exist yet, or no longer."""
    _folders.append(folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Add the logs to the report of a test that failed."""
    report = yield
    if report.failed and (item.nodeid in _failed or len(_failed) < _MOST_TESTS):
        _failed.add(item.nodeid)
        keep(artefacts() / "logs" / re.sub(r"[^\w.-]+", "_", item.nodeid)[-150:], report.sections)
    return report


def keep(folder: Path, sections: list[tuple[str, str]]) -> None:
    """Copy the end of each log into this folder, and add its last lines to the sections of a report."""
    logs = [log for watched in _folders for log in sorted(watched.rglob("*.log")) if log.is_file()]
    for number, log in enumerate(logs):
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _MOST_BYTES))
            written = file.read()
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{number}-{log.name}"
        kept.write_bytes(written)
        lines = written.decode(errors="replace").splitlines()[-_LINES_SHOWN:]
        sections.append((f"end of {kept}", "\n".join(lines)))
