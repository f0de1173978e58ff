"""What one server of the stand-in for ArangoDB holds, on disk and in memory."""

from __future__ import annotations

from pathlib import Path

from cdp_sandbox.arango.auth import Users
from cdp_sandbox.arango.cursors import Cursors
from cdp_sandbox.arango.expiry import Expiry
from cdp_sandbox.arango.results_cache import ResultsCache
from cdp_sandbox.arango.store import Store
from cdp_sandbox.arango.tracking import Tracking


class ServerState:
    """The store, users and open cursors of one server.

    Attributes:
        store: What it keeps on disk.
        users: Who may use it.
        cursors: The results that are being read.
        expiry: Removes the documents whose time is over.
        results: The results that are kept for the next time.
    """

    def __init__(self, file: Path, *, root: str, password: str, token_secret: str) -> None:
        self.store = Store(file)
        self.users = Users(self.store, root=root, password=password, token_secret=token_secret)
        self.cursors = Cursors()
        self.expiry = Expiry(self.store)
        self.results = ResultsCache()
        self._tracking: dict[str, Tracking] = {}

    def close(self) -> None:
        """Give the file free."""
        with self.store.lock:
            self.store.close()

    def tracking(self, database: str) -> Tracking:
        """Return what is noted of the queries of a database."""
        return self._tracking.setdefault(database, Tracking())

    def forget(self, database: str) -> None:
        """Forget all that is only in memory of a database."""
        self.cursors.drop_database(database)
        self.results.clear(database)
        self._tracking.pop(database, None)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of documents by database and collection, without the collections of the system."""
        with self.store.lock:
            return {
                database.name: {
                    name: collection.count()
                    for name, collection in sorted(database.collections.items())
                    if not collection.is_system
                }
                for database in self.store.databases.values()
            }
