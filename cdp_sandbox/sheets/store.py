"""Spreadsheets on disk: one SQLite file, one transaction for each request.

Here belongs how things survive. Everything is held in memory; a request changes a draft, and what it replaced is
written and becomes what others see when the request is through, or not at all.

Everything is written ahead (WAL) with `synchronous=NORMAL`: what was answered survives the death of the process,
SIGKILL included. The file belongs to one process at a time.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from cdp_sandbox.sheets.grid import EMPTY, EVERYBODY, Decoration, Row, Sheet, Spreadsheet, Value
from cdp_sandbox.sheets.ranges import Box
from cdp_sandbox.state_file import opened

__all__ = ["EVERYBODY", "Row", "Sheet", "Spreadsheet", "Store", "Value"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spreadsheet (id TEXT PRIMARY KEY, stored BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sheet (number INTEGER PRIMARY KEY, spreadsheet TEXT NOT NULL, stored BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS line (
  sheet INTEGER NOT NULL, position INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (sheet, position)
) WITHOUT ROWID;
"""


class Store:
    """All spreadsheets of one server, in one file.

    What `spreadsheets()` and `find()` return never changes: a later write makes a new one.
    """

    def __init__(self, file: Path) -> None:
        self._lock = threading.RLock()
        self._connection = opened(file, _SCHEMA)
        self._spreadsheets: dict[str, Spreadsheet] = {}
        self._last_number = 0
        self._load()

    def close(self) -> None:
        """Give the file free."""
        self._connection.close()

    def spreadsheets(self) -> list[Spreadsheet]:
        """Return all spreadsheets, by title."""
        return sorted(self._spreadsheets.copy().values(), key=lambda one: (one.title, one.id))

    def find(self, spreadsheet_id: str) -> Spreadsheet | None:
        """Return a spreadsheet as it is now."""
        return self._spreadsheets.get(spreadsheet_id)

    @contextmanager
    def change(self, spreadsheet_id: str) -> Generator[Spreadsheet]:
        """Give a draft of a spreadsheet to change. Without an error all of it happens, else nothing.

        Raises:
            KeyError: There is no such spreadsheet.
        """
        with self._lock:
            before = self._spreadsheets[spreadsheet_id]
            draft = before.draft()
            yield draft
            self._save(before, draft)

    def create(self, spreadsheet: Spreadsheet) -> None:
        """Keep a new spreadsheet."""
        with self._lock:
            self._save(None, spreadsheet)

    def delete(self, spreadsheet_id: str) -> None:
        """Remove a spreadsheet with all that is in it. None is fine."""
        with self._lock:
            if spreadsheet := self._spreadsheets.get(spreadsheet_id):
                with self._transaction():
                    self._forget([sheet.number for sheet in spreadsheet.sheets])
                    self._connection.execute("DELETE FROM spreadsheet WHERE id = ?", (spreadsheet_id,))
                del self._spreadsheets[spreadsheet_id]

    def new_number(self) -> int:
        """Return a number for a new sheet that this store never gave before."""
        with self._lock:
            self._last_number += 1
            return self._last_number

    def setting(self, name: str, default: Any = None) -> Any:
        """Return a stored value, or the default."""
        with self._lock:
            row = self._connection.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return orjson.loads(row[0]) if row else default

    def save_setting(self, name: str, value: Any) -> None:
        """Store a value."""
        sql = "INSERT INTO setting VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
        with self._lock:
            self._connection.execute(sql, (name, orjson.dumps(value)))

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    def _save(self, before: Spreadsheet | None, after: Spreadsheet) -> None:
        known = {sheet.number: sheet for sheet in before.sheets} if before else {}
        after.renumber()
        for sheet in after.sheets:
            sheet.trim()
            # Where a sheet stands among the others is no change of it.
            if not _same(known.get(sheet.number), sheet, "index"):
                sheet.last_change = datetime.now(UTC)
        if not _same(before, after) or [one.number for one in after.sheets] != list(known):
            after.last_change = datetime.now(UTC)
        after.last_change = max([after.last_change, *(sheet.last_change for sheet in after.sheets)])
        with self._transaction():
            self._forget(known.keys() - {sheet.number for sheet in after.sheets})
            for sheet in after.sheets:
                self._save_rows(known.get(sheet.number), sheet)
                if not _same(known.get(sheet.number), sheet):
                    sql = "INSERT INTO sheet VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET stored = excluded.stored"
                    self._connection.execute(sql, (sheet.number, after.id, _stored(sheet)))
            sql = "INSERT INTO spreadsheet VALUES (?, ?) ON CONFLICT DO UPDATE SET stored = excluded.stored"
            self._connection.execute(sql, (after.id, _stored(after)))
        self._spreadsheets[after.id] = after

    def _save_rows(self, before: Sheet | None, after: Sheet) -> None:
        old, new = before.row_data if before else [], after.row_data
        changed = [index for index, (was, row) in enumerate(zip(old, new, strict=False)) if was is not row]
        changed.extend(range(len(old), len(new)))
        emptied = [(after.number, index) for index in changed if new[index] == EMPTY and index < len(old)]
        self._connection.executemany("DELETE FROM line WHERE sheet = ? AND position = ?", emptied)
        written = ((after.number, index, _packed(new[index])) for index in changed if new[index] != EMPTY)
        sql = "INSERT INTO line VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body"
        self._connection.executemany(sql, written)
        if len(new) < len(old):
            sql = "DELETE FROM line WHERE sheet = ? AND position >= ?"
            self._connection.execute(sql, (after.number, len(new)))

    def _forget(self, numbers: Iterable[int]) -> None:
        gone = [(number,) for number in numbers]
        self._connection.executemany("DELETE FROM line WHERE sheet = ?", gone)
        self._connection.executemany("DELETE FROM sheet WHERE number = ?", gone)

    def _load(self) -> None:
        for identity, stored in self._connection.execute("SELECT id, stored FROM spreadsheet"):
            self._spreadsheets[identity] = Spreadsheet(**_dates(orjson.loads(stored)))
        for number, spreadsheet, stored in self._connection.execute("SELECT number, spreadsheet, stored FROM sheet"):
            known = _dates(orjson.loads(stored))
            known["merges"] = [Box(*corners) for corners in known["merges"]]
            known["dimensions"] = {
                name: {int(index): properties for index, properties in some.items()}
                for name, some in known["dimensions"].items()
            }
            known["groups"] = {name: [(low, high) for low, high in some] for name, some in known["groups"].items()}
            sheet = Sheet(**known)
            lines = self._connection.execute(
                "SELECT position, body FROM line WHERE sheet = ? ORDER BY position", (number,)
            )
            for position, body in lines:
                sheet.put(position, [_unpacked(body)])
            self._spreadsheets[spreadsheet].sheets.append(sheet)
            self._last_number = max(self._last_number, number)
        for spreadsheet in self._spreadsheets.values():
            spreadsheet.sheets.sort(key=lambda sheet: sheet.index)


def new_id() -> str:
    """Return an id for a spreadsheet, as long as Google's."""
    return "1" + secrets.token_urlsafe(33)[:43]


def _packed(row: Row) -> bytes:
    if not row.decorations:
        return orjson.dumps(row.values)
    return orjson.dumps({"values": row.values, "decorations": row.decorations}, default=list)


def _unpacked(body: bytes) -> Row:
    stored = orjson.loads(body)
    if isinstance(stored, list):
        return Row(tuple(stored))
    return Row(tuple(stored["values"]), _decorations(orjson.dumps(stored["decorations"])))


# Most rows of a sheet look alike.
@lru_cache(maxsize=1024)
def _decorations(stored: bytes) -> tuple[Decoration | None, ...]:
    return tuple(Decoration(*one) if one is not None else None for one in orjson.loads(stored))


def _same(before: Any, after: Any, but: str = "") -> bool:
    """Tell whether two states of a sheet, with its rows, or of a spreadsheet without its sheets, are the same."""
    if before is None or _stored(before, but) != _stored(after, but):
        return False
    # Rows are replaced where they change, so that equal ones that are not the same object were written.
    return not isinstance(after, Sheet) or (
        len(before.row_data) == len(after.row_data)
        and all(was is row for was, row in zip(before.row_data, after.row_data, strict=True))
    )


def _stored(thing: Any, but: str = "") -> bytes:
    kept = {one.name: getattr(thing, one.name) for one in fields(thing) if one.name not in {"row_data", "sheets", but}}
    return orjson.dumps(kept, default=list, option=orjson.OPT_NON_STR_KEYS)


def _dates(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: datetime.fromisoformat(value) if name in {"created", "last_change"} else value
        for name, value in stored.items()
    }
