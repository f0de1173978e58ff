"""Databases and collections of the stand-in on disk: one SQLite file, one transaction for each request.

Here belongs how things survive: loading, committing, rolling back, numbers and revisions that never repeat. What is
done to documents is in `writes.py` and `collection.py`.

Everything is written ahead (WAL) with `synchronous=NORMAL`: what was answered survives the death of the process,
SIGKILL included. A power failure can take the last moments with it, as on a real server without `waitForSync`.

The file belongs to one process at a time. Everything here must be called under `Store.lock`.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from cdp_sandbox.arango import refusals
from cdp_sandbox.arango.clock import HybridClock, encode_revision
from cdp_sandbox.arango.collection import DOCUMENT_TYPE, Collection
from cdp_sandbox.arango.keys import KeyGenerator
from cdp_sandbox.state_file import opened

SYSTEM_DATABASE = "_system"
_SYSTEM_COLLECTIONS = (
    *("_analyzers", "_appbundles", "_apps", "_aqlfunctions"),
    *("_frontend", "_graphs", "_jobs", "_queues"),
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS database (name TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS collection (
  id INTEGER PRIMARY KEY, database TEXT NOT NULL, name TEXT NOT NULL, stored BLOB NOT NULL, UNIQUE (database, name)
);
CREATE TABLE IF NOT EXISTS document (
  collection INTEGER NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (collection, key)
) WITHOUT ROWID;
"""


@dataclass
class Database:
    """One database and its collections by name."""

    id: str
    name: str
    collections: dict[str, Collection] = field(default_factory=dict)

    def find(self, name_or_id: str) -> Collection:
        """Return a collection by its name, or by its number.

        Raises:
            ArangoError: 404/1203, there is none.
        """
        collection = self.collections.get(name_or_id)
        if collection is None and name_or_id.isdigit():
            collection = next((one for one in self.collections.values() if one.id == name_or_id), None)
        if collection is None:
            raise refusals.collection_not_found(name_or_id)
        return collection


class Store:
    """All databases of one server, in one file.

    Attributes:
        lock: Held around everything that reads or writes.
        databases: By name. `_system` is always there.
        server_id: Names this store, as part of the global identifiers of its collections.
    """

    def __init__(self, file: Path) -> None:
        self.lock = threading.RLock()
        self.databases: dict[str, Database] = {}
        self._changes: dict[tuple[int, str], bytes | None] = {}
        self._truncated: set[int] = set()
        self._touched: dict[int, Collection] = {}
        self._undo: list[Callable[[], object]] = []
        self._connection = opened(file, _SCHEMA)
        # Copying the log into the file is most of the time of a bulk insert: every 64 MB instead of every 4.
        self._connection.execute("PRAGMA wal_autocheckpoint=16384")
        self._last_number: int = self.setting("last_number", 100)
        self._clock = HybridClock(self.setting("last_reading", 0))
        self._load()
        self.server_id: str = self.setting("server_id", "")

    def close(self) -> None:
        """Give the file free."""
        self._connection.close()

    def new_number(self) -> int:
        """Return a number that this store never gave before, above all earlier ones."""
        self._last_number += 1
        return self._last_number

    def new_revision(self) -> str:
        """Return the revision of a write that happens now."""
        return encode_revision(self._clock.next())

    def setting(self, name: str, default: Any) -> Any:
        """Return a stored value, or the default."""
        row = self._connection.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return orjson.loads(row[0]) if row else default

    def save_setting(self, name: str, value: Any) -> None:
        """Store a value, in the open transaction."""
        sql = "INSERT INTO setting VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
        self._connection.execute(sql, (name, orjson.dumps(value)))

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All of it happens, on disk and in memory, or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._flush()
            self._connection.execute("COMMIT")
        except BaseException:
            for undo in reversed(self._undo):
                undo()
            self._connection.execute("ROLLBACK")
            raise
        finally:
            self._changes.clear()
            self._truncated.clear()
            self._touched.clear()
            self._undo.clear()

    def record(self, collection: Collection, key: str, body: bytes | None, *, undo: Callable[[], None]) -> None:
        """Take note of a document's new content (None: removed), and of how to take it back in memory."""
        self._changes[collection.number, key] = body
        self._undo.append(undo)
        self.touch(collection)

    def record_truncation(self, collection: Collection, *, undo: Callable[[], None]) -> None:
        """Take note that all documents of a collection are gone, and of how to take it back in memory."""
        self._truncated.add(collection.number)
        self._changes = {identity: body for identity, body in self._changes.items() if identity[0] != collection.number}
        self._undo.append(undo)
        self.touch(collection)

    def touch(self, collection: Collection) -> None:
        """Take note that a collection changed, and give it a new revision."""
        if collection.number not in self._touched:
            self._touched[collection.number] = collection
            before = collection.revision
            self.on_rollback(lambda: setattr(collection, "revision", before))
            collection.revision = self.new_revision()

    def on_rollback(self, undo: Callable[[], object]) -> None:
        """Take note of how to take a change in memory back."""
        self._undo.append(undo)

    def bodies(self, collection_number: int) -> Iterator[bytes]:
        """Return all stored documents of a collection as JSON."""
        rows = self._connection.execute("SELECT body FROM document WHERE collection = ?", (collection_number,))
        return (body for (body,) in rows)

    def count(self, collection_number: int) -> int:
        """Return how many documents of a collection are stored."""
        sql = "SELECT count(*) FROM document WHERE collection = ?"
        return self._connection.execute(sql, (collection_number,)).fetchone()[0]

    def create_database(self, name: str) -> Database:
        """Create a database and the collections that every database has."""
        number = 1 if name == SYSTEM_DATABASE else self.new_number()
        self._connection.execute("INSERT INTO database VALUES (?, ?)", (name, number))
        database = self.databases[name] = Database(str(number), name)
        self.on_rollback(lambda: self.databases.pop(name))
        for collection_name in _SYSTEM_COLLECTIONS:
            self.create_collection(database, collection_name, is_system=True)
        return database

    def drop_database(self, database: Database) -> None:
        """Remove a database with all that is in it."""
        for collection in list(database.collections.values()):
            self.drop_collection(database, collection)
        self._connection.execute("DELETE FROM database WHERE name = ?", (database.name,))
        del self.databases[database.name]
        self.on_rollback(lambda: self.databases.__setitem__(database.name, database))

    def create_collection(
        self,
        database: Database,
        name: str,
        *,
        kind: int = DOCUMENT_TYPE,
        is_system: bool = False,
        wait_for_sync: bool = False,
        cache_enabled: bool = False,
        key_generator: KeyGenerator | None = None,
    ) -> Collection:
        """Create an empty collection with a name that is free."""
        stored = {
            "type": kind,
            "is_system": is_system,
            "wait_for_sync": wait_for_sync,
            "cache_enabled": cache_enabled,
            "revision": self.new_revision(),
            "key_generator": (key_generator or KeyGenerator()).stored(),
            "indexes": [],
        }
        number = self.new_number()
        values = (number, database.name, name, orjson.dumps(stored))
        self._connection.execute("INSERT INTO collection VALUES (?, ?, ?, ?)", values)
        collection = database.collections[name] = Collection(self, number, name, stored)
        self.on_rollback(lambda: database.collections.pop(name))
        return collection

    def drop_collection(self, database: Database, collection: Collection) -> None:
        """Remove a collection with its documents."""
        self._connection.execute("DELETE FROM document WHERE collection = ?", (collection.number,))
        self._connection.execute("DELETE FROM collection WHERE id = ?", (collection.number,))
        del database.collections[collection.name]
        self.on_rollback(lambda: database.collections.__setitem__(collection.name, collection))

    def rename_collection(self, database: Database, collection: Collection, name: str) -> None:
        """Give a collection a name that is free."""
        before = collection.name
        del database.collections[before]
        database.collections[name] = collection
        self.on_rollback(lambda: database.collections.__setitem__(before, collection))
        self.on_rollback(lambda: database.collections.pop(name))
        collection.rename(name)
        self._connection.execute("UPDATE collection SET name = ? WHERE id = ?", (name, collection.number))
        self.touch(collection)

    def _flush(self) -> None:
        truncated = [(number,) for number in self._truncated]
        self._connection.executemany("DELETE FROM document WHERE collection = ?", truncated)
        written = [(number, key, body) for (number, key), body in self._changes.items() if body is not None]
        removed = [identity for identity, body in self._changes.items() if body is None]
        upsert = "INSERT INTO document VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body"
        self._connection.executemany(upsert, written)
        self._connection.executemany("DELETE FROM document WHERE collection = ? AND key = ?", removed)
        for number, collection in self._touched.items():
            stored = orjson.dumps(collection.stored())
            self._connection.execute("UPDATE collection SET stored = ? WHERE id = ?", (stored, number))
        self.save_setting("last_number", self._last_number)
        self.save_setting("last_reading", self._clock.last)

    def _load(self) -> None:
        for name, number in self._connection.execute("SELECT name, id FROM database"):
            self.databases[name] = Database(str(number), name)
        for number, database, name, stored in self._connection.execute("SELECT * FROM collection ORDER BY id"):
            collections = self.databases[database].collections
            collections[name] = Collection(self, number, name, orjson.loads(stored))
        if SYSTEM_DATABASE not in self.databases:
            with self.transaction():
                self.create_database(SYSTEM_DATABASE)
                self.save_setting("server_id", f"h{secrets.token_hex(6).upper()}")
