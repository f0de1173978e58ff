"""What a `ttl` index does: documents go when their time has come.

A server looks for them every 30 seconds and promises no moment; here it is before a request is answered, and at most
once a second. So nobody sees a document that went more than a second ago, and nothing happens while nobody asks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from cdp_sandbox.arango.aql.functions.dates import parse
from cdp_sandbox.arango.collection import Collection
from cdp_sandbox.arango.errors import ArangoError
from cdp_sandbox.arango.indexes import Index, value_at
from cdp_sandbox.arango.store import Store

_EVERY_SECONDS = 1.0


class Expiry:
    """Removes the documents of one store whose time has come."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._looked = float("-inf")

    def remove_expired(self) -> None:
        """Remove them, unless this was done a moment ago."""
        if time.monotonic() - self._looked < _EVERY_SECONDS:
            return
        self._looked = time.monotonic()
        expired = [(collection, key) for collection, index in self._indexed() for key in _expired(collection, index)]
        if expired:
            with self._store.transaction():
                for collection, key in expired:
                    collection.discard(key)

    def _indexed(self) -> Iterator[tuple[Collection, Index]]:
        for database in self._store.databases.values():
            for collection in database.collections.values():
                for index in collection.indexes:
                    if index.type == "ttl":
                        yield collection, index


def _expired(collection: Collection, index: Index) -> list[str]:
    now = time.time()
    moments = ((key, _seconds(value_at(one, index.fields[0]))) for key, one in collection.documents.items())
    lifetime = index.settings["expireAfter"]
    return [key for key, moment in moments if moment is not None and moment + lifetime < now]


def _seconds(value: Any) -> float | None:
    """Return the seconds since 1970 that a value stands for: as a number, or as the text of a date."""
    if isinstance(value, str):
        try:
            milliseconds = parse(value)
        except ArangoError:
            # A date in a form that is not understood here with certainty: its document stays.
            return None
        return None if milliseconds is None else milliseconds / 1000
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
