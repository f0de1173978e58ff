"""What one execution of a query carries along: what it may read, the clock, warnings and counters."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cdp_sandbox.arango.aql.values import sort_key
from cdp_sandbox.arango.errors import ArangoError, ErrorNumber

_MAX_WARNINGS = 10
_TEXTS = {
    ErrorNumber.NUMBER_OUT_OF_RANGE: "number out of range",
    ErrorNumber.INVALID_REGEX: "invalid regex value",
    ErrorNumber.INVALID_ARITHMETIC_VALUE: "invalid arithmetic value",
    ErrorNumber.DIVISION_BY_ZERO: "division by zero",
    ErrorNumber.ARRAY_EXPECTED: "array expected",
    ErrorNumber.INVALID_DATE_VALUE: "invalid date value",
}


class Source(Protocol):
    """What a query may read."""

    def documents(self, collection: str) -> Sequence[dict[str, Any]]:
        """Returns all documents, with ``_key``, ``_id`` and ``_rev``; nobody changes them. 404/1203 if unknown."""
        ...

    def document(self, identifier: str) -> dict[str, Any] | None:
        """Returns the document ``collection/key``."""
        ...

    def count(self, collection: str) -> int:
        """Returns the number of documents. 404/1203 if the collection is unknown."""
        ...

    def indexes(self, collection: str) -> Sequence[dict[str, Any]]:
        """Returns the indexes as a client sees them. 404/1203 if the collection is unknown."""
        ...


class Writer(Protocol):
    """What a query may change. All that it does is undone if the query fails."""

    def change(
        self, verb: str, collection: str, key: str | None, document: Any, options: Mapping[str, Any]
    ) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Changes one document.

        Args:
            verb: INSERT, UPDATE, REPLACE or REMOVE.
            collection: where it is.
            key: which it is; None for INSERT.
            document: what to insert, to put in its place, or to merge into it. For REMOVE, what was to be removed.
            options: those of the statement.

        Returns:
            The document before and after, None where there is none.
        """
        ...


class Context:
    """State of one execution."""

    def __init__(
        self,
        source: Source,
        *,
        now_ms: int,
        fail_on_warning: bool,
        shuffle: random.Random | None,
        writer: Writer | None = None,
    ) -> None:
        self.source = source
        self.writer = writer
        self.now_ms = now_ms
        self.shuffle = shuffle
        self.warnings: list[dict[str, Any]] = []
        self.scanned_full = 0
        self.scanned_index = 0
        self.filtered = 0
        self.writes_executed = 0
        self.writes_ignored = 0
        self._fail_on_warning = fail_on_warning
        self._scans: dict[str, Sequence[dict[str, Any]]] = {}
        self._orders: dict[tuple[str, str], tuple[list[Any], list[dict[str, Any]]]] = {}

    def scan(self, collection: str) -> Sequence[dict[str, Any]]:
        """Returns the documents of a collection, in no order that anybody could rely on."""
        if collection not in self._scans:
            documents = self.source.documents(collection)
            if self.shuffle is not None:
                documents = list(documents)
                self.shuffle.shuffle(documents)
            self._scans[collection] = documents
        return self._scans[collection]

    def in_order(self, collection: str, attribute: str) -> tuple[list[Any], list[dict[str, Any]]]:
        """Returns the documents of a collection in the order of an attribute, and its sort keys beside them."""
        if (collection, attribute) not in self._orders:
            documents = list(self.scan(collection))
            keys = [sort_key(document.get(attribute)) for document in documents]
            order = sorted(range(len(documents)), key=keys.__getitem__)
            self._orders[collection, attribute] = [keys[at] for at in order], [documents[at] for at in order]
        return self._orders[collection, attribute]

    def warn(self, number: int, message: str) -> None:
        """Notes a warning, or fails if warnings are to be errors."""
        if self._fail_on_warning:
            raise ArangoError(400, number, message)
        if len(self.warnings) < _MAX_WARNINGS:
            self.warnings.append({"code": int(number), "message": message})

    def warn_in(self, function: str, number: ErrorNumber) -> None:
        """Notes a warning of a function; the value of the call is null."""
        self.warn(number, f"in function '{function}()': {_TEXTS[number]}")

    def invalid_argument(self, function: str) -> None:
        """Notes that an argument has a type the function cannot take; the value of the call is null."""
        self.warn(
            ErrorNumber.FUNCTION_ARGUMENT_TYPE_MISMATCH, f"invalid argument type in call to function '{function}()'"
        )
