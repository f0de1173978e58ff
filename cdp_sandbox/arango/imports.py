"""Bulk imports (`/_api/import`): documents as JSON lines, as one JSON array, or as rows under a line of names.

Here belongs reading the three forms and counting what became of each document. What storing one means is in
`writes.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from cdp_sandbox.arango import refusals, writes
from cdp_sandbox.arango.calls import Call
from cdp_sandbox.arango.collection import Collection
from cdp_sandbox.arango.errors import ArangoError
from cdp_sandbox.arango.wire import Reply, parse_json, reply
from cdp_sandbox.arango.writes import OverwriteMode, WriteOptions

_OVERWRITE_MODES: dict[str, OverwriteMode] = {
    "error": "conflict",
    "update": "update",
    "replace": "replace",
    "ignore": "ignore",
}


class _EmptyLine:
    """Stands for a line without a document."""


@dataclass
class _Result:
    """What became of the documents of one import."""

    created: int = 0
    errors: int = 0
    empty: int = 0
    updated: int = 0
    ignored: int = 0
    details: list[str] = field(default_factory=list)

    def describe(self, *, with_details: bool) -> dict[str, Any]:
        names = ("created", "errors", "empty", "updated", "ignored")
        counted = {"error": False, **{name: getattr(self, name) for name in names}}
        return counted | ({"details": self.details} if with_details else {})


def handle(call: Call) -> Reply:
    """Answer an import."""
    if call.method != "POST" or call.segments:
        raise refusals.method_not_supported()
    if "collection" not in call.query:
        raise refusals.bad_parameter("'collection' is missing, expecting /_api/import?collection=<identifier>")
    collection = call.database.find(call.query["collection"])
    mode = _OVERWRITE_MODES.get(call.query.get("onDuplicate", "error"))
    if mode is None:
        raise refusals.bad_parameter("invalid value for 'onDuplicate'")
    documents = _documents(call)
    with call.store.transaction():
        if call.flag("overwrite"):
            collection.truncate()
        result = _import(call, collection, documents, WriteOptions(overwrite_mode=mode))
    return reply(result.describe(with_details=call.flag("details")), 201)


def _import(call: Call, collection: Collection, documents: Iterator[Any], options: WriteOptions) -> _Result:
    result, complete = _Result(), call.flag("complete")
    prefixes = {"_from": call.query.get("fromPrefix"), "_to": call.query.get("toPrefix")}
    accepted: list[dict[str, Any]] = []
    # A document that is malformed is told by its place in the input, counted from 1 ...
    for position, document in enumerate(documents, 1):
        if document is _EmptyLine:
            result.empty += 1
            continue
        try:
            accepted.append(_checked(collection, document, prefixes))
        except ArangoError as error:
            if complete:
                raise
            result.errors += 1
            result.details.append(f"at position {position}: {error.message}")
    # ... and one that cannot be stored by its place among the others, counted from 0: so does a real server.
    for position, document in enumerate(accepted):
        try:
            written = writes.insert(call.store, collection, document, options)
        except ArangoError as error:
            reason = error.message.partition(" - ")[0]
            if complete:
                raise ArangoError(error.http_status, error.number, reason) from error
            result.errors += 1
            failed = f"creating document failed with error '{reason}', offending document: {_shown(document)}"
            result.details.append(f"at position {position}: {failed}")
        else:
            result.created += written.old is None
            result.ignored += written.ignored
            result.updated += written.old is not None and not written.ignored
    return result


def _checked(collection: Collection, document: Any, prefixes: dict[str, str | None]) -> dict[str, Any]:
    if isinstance(document, ArangoError):
        raise document
    if not isinstance(document, dict):
        shown = _shown(document)
        raise ArangoError(400, 1227, f"invalid JSON type (expecting object), offending document: {shown}")
    if not collection.is_edge:
        return document
    if not all(isinstance(document.get(name), str) for name in prefixes):
        reason = f"missing '_from' or '_to' attribute, offending document: {_shown(document)}"
        raise ArangoError(400, 1233, reason)
    prefixed = {
        name: f"{prefix.rstrip('/')}/{document[name]}"
        for name, prefix in prefixes.items()
        if prefix and "/" not in document[name]
    }
    return document | prefixed


def _documents(call: Call) -> Iterator[Any]:
    """Return the documents of the body in order: objects, `_EmptyLine`, or the error that a line has."""
    kind = call.query.get("type")
    if kind == "auto":
        kind = "list" if call.body.lstrip()[:1] == b"[" else "documents"
    if kind in {"list", "array"}:
        documents = call.json()
        if not isinstance(documents, list):
            raise refusals.bad_parameter("expecting a JSON array in the request")
        return iter(documents)
    if kind == "documents":
        return _parsed_lines(call.body)
    if kind is None:
        return _rows(call.body)
    raise refusals.bad_parameter("invalid value for 'type'")


def _parsed_lines(text: bytes) -> Iterator[Any]:
    # What follows the last line end is no line.
    lines = text.removesuffix(b"\n").split(b"\n") if text else []
    for line in lines:
        if not line.strip():
            yield _EmptyLine
            continue
        try:
            yield parse_json(line)
        except ArangoError as error:
            yield error


def _rows(text: bytes) -> Iterator[Any]:
    head, separator, rest = text.partition(b"\n")
    if not separator:
        raise refusals.bad_parameter("no JSON array found in second line")
    names = parse_json(head)
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise refusals.bad_parameter("no JSON string list in first line found")
    return (_named(names, values) for values in _parsed_lines(rest))


def _named(names: list[str], values: Any) -> Any:
    if values is _EmptyLine or isinstance(values, ArangoError):
        return values
    if not isinstance(values, list):
        return ArangoError(400, 1227, f"no valid JSON array data, offending data: {_shown(values)}")
    if len(values) != len(names):
        reason = f"wrong number of JSON values (got {len(values)}, expected {len(names)})"
        return ArangoError(400, 1227, f"{reason}, offending data: {_shown(values)}")
    # A null in a row is a cell that is not there.
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()
