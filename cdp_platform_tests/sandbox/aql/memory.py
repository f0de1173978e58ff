"""Collections in memory, and the shortest way to ask them something."""

# ruff: noqa: S311 - the generator shuffles, it guards nothing.

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from cdp_sandbox.arango.aql import QueryResult, execute
from cdp_sandbox.arango.errors import ArangoError, ErrorNumber


class Collections:
    """A source of documents that is a dictionary."""

    def __init__(self, **documents: list[dict[str, Any]]) -> None:
        self.by_name = documents
        self.indexes_by_name: dict[str, list[dict[str, Any]]] = {}

    def documents(self, collection: str) -> Sequence[dict[str, Any]]:
        if collection not in self.by_name:
            raise ArangoError(404, ErrorNumber.COLLECTION_NOT_FOUND, f"collection or view not found: {collection}")
        return self.by_name[collection]

    def document(self, identifier: str) -> dict[str, Any] | None:
        name, _, key = identifier.partition("/")
        return next((found for found in self.documents(name) if found["_key"] == key), None)

    def count(self, collection: str) -> int:
        return len(self.documents(collection))

    def indexes(self, collection: str) -> Sequence[dict[str, Any]]:
        return self.indexes_by_name.get(collection, [])


def run(query: str, source: Collections | None = None, *, seed: int | None = None, **binds: Any) -> QueryResult:
    """Runs a query; binds that start with ``at_`` are those of collections."""
    named = {f"@{name[3:]}" if name.startswith("at_") else name: value for name, value in binds.items()}
    shuffle = None if seed is None else random.Random(seed)
    return execute(query, named, source or Collections(), shuffle=shuffle)


def rows(query: str, source: Collections | None = None, **binds: Any) -> list[Any]:
    return list(run(query, source, **binds).rows)


def value(expression: str, source: Collections | None = None, **binds: Any) -> Any:
    (only,) = rows(f"RETURN {expression}", source, **binds)
    return only


def refused(query: str, binds: dict[str, Any], source: Collections | None = None) -> ArangoError | None:
    """Runs a query, and returns its refusal if it is refused."""
    try:
        execute(query, binds, source or Collections(), shuffle=random.Random(1))
    except ArangoError as error:
        return error
    return None


def require_foreseen(query: str, binds: dict[str, Any], source: Collections | None = None) -> None:
    """A query has a result, or it is refused with an error of the query: no server has failed, and no Python code."""
    error = refused(query, binds, source)
    if error is not None:
        assert error.__cause__ is None, (query, binds)
        assert error.http_status in (400, 404), (query, binds, error.message)
        assert error.number >= 1000, (query, binds, error.message)
