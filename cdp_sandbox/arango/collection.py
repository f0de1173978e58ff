"""One collection: its documents in memory, its unique indexes, its settings.

Here belong single steps on single documents, each recorded in the open transaction of the store. What a client may ask
for (insert, update, conditions on revisions ...) is in `writes.py`; how it gets to disk is in `store.py`.

A stored document is never changed: a write puts another one in its place. So whoever holds a document or a list of them
has a snapshot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import orjson

from cdp_sandbox.arango import indexes, refusals
from cdp_sandbox.arango.indexes import Document, Index
from cdp_sandbox.arango.keys import KeyGenerator

DOCUMENT_TYPE, EDGE_TYPE = 2, 3

# A real server holds at most 200 levels. orjson writes at most 254, and answers need a few around a document: so a
# document is written inside of this many arrays, and one that is too deep fails here and not in an answer, later.
_SPARE_LEVELS = 54


class Keeper(Protocol):
    """What keeps the documents of collections on disk, and takes note of changes in the open transaction."""

    def bodies(self, collection_number: int) -> Iterator[bytes]:
        """Return all stored documents of a collection as JSON."""
        ...

    def count(self, collection_number: int) -> int:
        """Return how many documents of a collection are stored."""
        ...

    def record(self, collection: Collection, key: str, body: bytes | None, *, undo: Callable[[], None]) -> None:
        """Take note of a document that was written, or removed, and of how to take that back in memory."""
        ...

    def record_truncation(self, collection: Collection, *, undo: Callable[[], None]) -> None:
        """Take note that all documents of a collection are gone, and of how to take it back in memory."""
        ...

    def touch(self, collection: Collection) -> None:
        """Take note that a collection changed, and give it a new revision."""
        ...

    def on_rollback(self, undo: Callable[[], object]) -> None:
        """Take note of how to take a change in memory back."""
        ...


class Collection:
    """A collection of one database.

    Attributes:
        id: Its number in the server, as text.
        type: `DOCUMENT_TYPE` or `EDGE_TYPE`.
        revision: Changes whenever a document in it does.
        indexes: Primary (and edge) index first.
    """

    def __init__(self, store: Keeper, number: int, name: str, stored: dict[str, Any]) -> None:
        self._store = store
        self._documents: dict[str, Document] | None = None
        self.id = str(number)
        self.number = number
        self.name = name
        self.type: int = stored["type"]
        self.is_system: bool = stored["is_system"]
        self.wait_for_sync: bool = stored["wait_for_sync"]
        self.cache_enabled: bool = stored["cache_enabled"]
        self.schema: dict[str, Any] | None = stored.get("schema")
        self.computed_values: list[dict[str, Any]] | None = stored.get("computed_values")
        self.revision: str = stored["revision"]
        self.key_generator = KeyGenerator(**stored["key_generator"])
        self.indexes = [indexes.primary()] + ([indexes.edge()] if self.is_edge else [])
        self.indexes += [Index(**index) for index in stored["indexes"]]

    @property
    def is_edge(self) -> bool:
        """Whether its documents are edges."""
        return self.type == EDGE_TYPE

    def stored(self) -> dict[str, Any]:
        """Return what makes this collection again after a restart, documents apart."""
        return {
            "type": self.type,
            "is_system": self.is_system,
            "wait_for_sync": self.wait_for_sync,
            "cache_enabled": self.cache_enabled,
            "schema": self.schema,
            "computed_values": self.computed_values,
            "revision": self.revision,
            "key_generator": self.key_generator.stored(),
            "indexes": [index.stored() for index in self.indexes if index.type not in {"primary", "edge"}],
        }

    @property
    def documents(self) -> dict[str, Document]:
        """All documents by key. Read from disk when they are first asked for."""
        if self._documents is None:
            bodies = self._store.bodies(self.number)
            self._documents = {document["_key"]: document for document in map(orjson.loads, bodies)}
            for index in self._unique_indexes():
                index.keys = self._keys_of(index, self._documents.values())
        return self._documents

    def count(self) -> int:
        """Return the number of documents, without reading them."""
        return self._store.count(self.number) if self._documents is None else len(self._documents)

    def checksum(self, *, with_revisions: bool, with_data: bool) -> int:
        """Return a number that is equal for equal contents, in whatever order they came. 0 for an empty collection."""
        total = 0
        for document in self.documents.values():
            hashed: Any = [document["_key"]]
            if with_revisions:
                hashed.append(document["_rev"])
            if with_data:
                hashed.append({name: value for name, value in document.items() if name not in {"_id", "_key", "_rev"}})
            digest = hashlib.blake2b(orjson.dumps(hashed, option=orjson.OPT_SORT_KEYS), digest_size=8).digest()
            total += int.from_bytes(digest, "big")
        return total % 2**64

    def put(self, document: Document) -> None:
        """Store a complete document under its key, in the place of the one that is there.

        Raises:
            ArangoError: A unique index has these values for another document, or it cannot be stored.
        """
        key = document["_key"]
        for index in self.indexes:
            index.check(document)
        for index in self._unique_indexes():
            values = index.values_of(document)
            if values is not None and index.keys.get(values, key) != key:
                raise index.violation(index.keys[values])
        body = _written(document)
        before = self.documents.get(key)
        self._swap(key, before, document)
        self._store.record(self, key, body, undo=lambda: self._swap(key, document, before))

    def discard(self, key: str) -> None:
        """Remove the document with this key, which must be there."""
        before = self.documents[key]
        self._swap(key, before, None)
        self._store.record(self, key, None, undo=lambda: self._swap(key, None, before))

    def truncate(self) -> None:
        """Remove all documents."""
        documents, keys = self.documents, [(index, index.keys) for index in self._unique_indexes()]

        def undo() -> None:
            self._documents = documents
            for index, before in keys:
                index.keys = before

        self._documents = {}
        for index, _ in keys:
            index.keys = {}
        self._store.record_truncation(self, undo=undo)

    def rename(self, name: str) -> None:
        """Take another name. The documents get other `_id`s, and keep their keys and revisions."""
        before, self.name = self.name, name
        self._store.on_rollback(lambda: setattr(self, "name", before))
        for document in list(self.documents.values()):
            self.put({**document, "_id": f"{name}/{document['_key']}"})

    def add_index(self, index: Index) -> None:
        """Add an index over what is there.

        Raises:
            ArangoError: It is unique and the documents are not.
        """
        for document in self.documents.values():
            index.check(document)
        if index.unique:
            index.keys = self._keys_of(index, self.documents.values())
        self.indexes.append(index)
        self._store.on_rollback(lambda: self.indexes.remove(index))
        self._store.touch(self)

    def drop_index(self, index: Index) -> None:
        """Remove an index."""
        self.indexes.remove(index)
        self._store.on_rollback(lambda: self.indexes.append(index))
        self._store.touch(self)

    def _unique_indexes(self) -> Iterable[Index]:
        return [index for index in self.indexes[1:] if index.unique]

    def _keys_of(self, index: Index, documents: Iterable[Document]) -> dict[bytes, str]:
        keys: dict[bytes, str] = {}
        for document in documents:
            values = index.values_of(document)
            if values is not None and keys.setdefault(values, document["_key"]) != document["_key"]:
                raise index.violation(keys[values])
        return keys

    def _swap(self, key: str, before: Document | None, after: Document | None) -> None:
        for index in self._unique_indexes():
            if before is not None and (values := index.values_of(before)) is not None:
                del index.keys[values]
            if after is not None and (values := index.values_of(after)) is not None:
                index.keys[values] = key
        if after is None:
            del self.documents[key]
        else:
            self.documents[key] = after


def _written(document: Document) -> bytes:
    wrapped: Any = document
    for _ in range(_SPARE_LEVELS):
        wrapped = [wrapped]
    try:
        return orjson.dumps(wrapped)[_SPARE_LEVELS:-_SPARE_LEVELS]
    except TypeError as error:
        raise refusals.bad_json("Too deep nesting in Array/Object") from error
