"""Queries over HTTP (`/_api/{cursor,query,explain,edges}`), and the cursors that page their results.

Here belongs running a query on a database and handing out its result in batches. What a query means is in `aql/`.

A cursor keeps its whole result in memory. With `allowRetry` the latest batch can be asked for again, and the last one
stays until the cursor is deleted. A cursor that nobody asks for `ttl` seconds is gone. `memoryLimit` counts the size of
the result as JSON, which is less than a real server would count; `maxRuntime` is looked at when the query has ended.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from cdp_platform.sandbox.arango import refusals
from cdp_platform.sandbox.arango.aql import QueryResult, execute, parse
from cdp_platform.sandbox.arango.errors import ArangoError
from cdp_platform.sandbox.arango.store import Database
from cdp_platform.sandbox.arango.wire import Call, Reply, success

DEFAULT_BATCH = 1000
DEFAULT_TTL_SECONDS = 30.0

_NO_STATS = {
    "writesExecuted": 0,
    "writesIgnored": 0,
    "scannedFull": 0,
    "scannedIndex": 0,
    "cursorsCreated": 0,
    "cursorsRearmed": 0,
    "cacheHits": 0,
    "cacheMisses": 0,
    "filtered": 0,
    "httpRequests": 0,
    "executionTime": 0.0,
    "peakMemoryUsage": 0,
    "intermediateCommits": 0,
}


class DatabaseSource:
    """The documents of one database, as the query engine reads them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def documents(self, collection: str) -> Sequence[dict[str, Any]]:
        """Return all documents of a collection."""
        return list(self._database.find(collection).documents.values())

    def document(self, identifier: str) -> dict[str, Any] | None:
        """Return the document with this `_id`, or None."""
        name, _, key = identifier.partition("/")
        collection = self._database.collections.get(name)
        return None if collection is None else collection.documents.get(key)

    def count(self, collection: str) -> int:
        """Return the number of documents of a collection."""
        return self._database.find(collection).count()


@dataclass
class Cursor:
    """One result that is handed out in batches.

    Attributes:
        batch_number: The batch that was handed out last, from 1.
        extra: Statistics and warnings. A stream cursor tells them with its last batch only.
    """

    id: str
    database: str
    rows: Sequence[Any]
    batch_size: int
    ttl: float
    extra: dict[str, Any]
    counted: bool
    stream: bool
    allow_retry: bool
    batch_number: int = 0
    expires: float = field(default=0.0)

    @property
    def has_more(self) -> bool:
        """Whether a batch is left."""
        return self.batch_number * self.batch_size < len(self.rows)

    def advance(self) -> None:
        """Go to the next batch."""
        self.batch_number += 1

    def reply(self, status: int) -> Reply:
        """Return the current batch as an answer, with what a client needs to get the next one."""
        start = (self.batch_number - 1) * self.batch_size
        batch = self.rows[start : start + self.batch_size]
        told: dict[str, Any] = {"hasMore": self.has_more}
        if self.has_more:
            told |= {"id": self.id, "nextBatchId": str(self.batch_number + 1)}
        if self.counted:
            told["count"] = len(self.rows)
        if not (self.stream and self.has_more):
            told["extra"] = self.extra
        told |= {"cached": False, "error": False, "code": status}
        return Reply(status, b'{"result":' + orjson.dumps(batch) + b"," + orjson.dumps(told)[1:])


class Cursors:
    """The open cursors of one server."""

    def __init__(self) -> None:
        self._open: dict[str, Cursor] = {}

    def keep(self, cursor: Cursor) -> None:
        """Keep a cursor open, from now on for its time to live."""
        self._drop_expired()
        cursor.expires = time.monotonic() + cursor.ttl
        self._open[cursor.id] = cursor

    def find(self, identifier: str, database: str) -> Cursor:
        """Return an open cursor, and give it its whole time to live again.

        Raises:
            ArangoError: 404/1600, it is not there (any more).
        """
        self._drop_expired()
        cursor = self._open.get(identifier)
        if cursor is None or cursor.database != database:
            raise refusals.cursor_not_found()
        cursor.expires = time.monotonic() + cursor.ttl
        return cursor

    def close(self, cursor: Cursor) -> None:
        """Forget a cursor."""
        del self._open[cursor.id]

    def drop_database(self, name: str) -> None:
        """Forget all cursors of a database."""
        self._open = {key: cursor for key, cursor in self._open.items() if cursor.database != name}

    def _drop_expired(self) -> None:
        now = time.monotonic()
        self._open = {key: cursor for key, cursor in self._open.items() if cursor.expires > now}


def handle(call: Call) -> Reply:
    """Answer a request about cursors."""
    match call.method, call.segments:
        case "POST", ():
            return _create(call)
        case (("POST" | "PUT"), (identifier,)):
            return _next(call, identifier, None)
        case "POST", (identifier, batch):
            return _next(call, identifier, batch)
        case "PUT", ():
            raise refusals.bad_parameter("expecting POST /_api/cursor/<cursor-id>")
        case "DELETE", (identifier,):
            call.server.cursors.close(call.server.cursors.find(identifier, call.database.name))
            return success({"id": identifier}, 202)
        case "DELETE", ():
            raise refusals.bad_parameter("expecting DELETE /_api/cursor/<cursor-id>")
    raise refusals.method_not_supported()


def handle_query(call: Call) -> Reply:
    """Answer `POST /_api/query`: check a query without running it. There is no syntax tree in the answer."""
    if call.method != "POST" or call.segments:
        raise refusals.not_implemented("tracking of queries")
    parsed = parse(_query_text(_request(call)))
    names = {"collections": sorted(parsed.collections), "bindVars": sorted(parsed.bind_variables)}
    return success({"parsed": True, **names})


def handle_explain(call: Call) -> Reply:
    """Answer `POST /_api/explain`: a wrong query is told, a plan is not, because there is none to tell of."""
    if call.method != "POST" or call.segments:
        raise refusals.method_not_supported()
    parse(_query_text(_request(call)))
    raise refusals.not_implemented("execution plans")


def handle_edges(call: Call) -> Reply:
    """Answer `GET /_api/edges/<collection>`: the edges from or to one document."""
    if call.method != "GET" or len(call.segments) != 1:
        raise refusals.method_not_supported()
    collection = call.database.find(call.segments[0])
    direction, vertex = call.query.get("direction", "any"), call.query.get("vertex")
    ends = {"in": ("_to",), "out": ("_from",), "any": ("_from", "_to")}.get(direction)
    if ends is None or not vertex:
        raise refusals.bad_parameter("<direction> must by any, in, or out, and <vertex> a document")
    if not collection.is_edge:
        raise refusals.collection_type_invalid()
    edges = [edge for edge in collection.documents.values() if vertex in (edge[end] for end in ends)]
    return success({"edges": edges, "stats": _NO_STATS | {"scannedIndex": len(edges)}})


def _create(call: Call) -> Reply:
    request = _request(call)
    query = _query_text(request)
    # Clients send some options in both places. The ones under `options` are the ones a server reads.
    options = {**request, **_object(request, "options")}
    batch_size, ttl = _batch_size(request), _positive(request.get("ttl"), DEFAULT_TTL_SECONDS)
    stream = bool(options.get("stream"))
    started = time.perf_counter()
    result = execute(
        query,
        _object(request, "bindVars"),
        DatabaseSource(call.database),
        full_count=bool(options.get("fullCount")) and not stream,
        fail_on_warning=bool(options.get("failOnWarning")),
        shuffle=random.Random(),
    )
    seconds = time.perf_counter() - started
    _check_limits(options, result, seconds)
    cursor = Cursor(
        id=str(call.store.new_number()),
        database=call.database.name,
        rows=result.rows,
        batch_size=batch_size,
        ttl=ttl,
        extra=_extra(result, options, seconds),
        counted=bool(request.get("count")) and not stream,
        stream=stream,
        allow_retry=bool(options.get("allowRetry")),
    )
    cursor.advance()
    if cursor.has_more:
        call.server.cursors.keep(cursor)
    return cursor.reply(201)


def _next(call: Call, identifier: str, batch: str | None) -> Reply:
    cursors = call.server.cursors
    cursor = cursors.find(identifier, call.database.name)
    if batch == str(cursor.batch_number) and cursor.allow_retry:
        return cursor.reply(200)
    if not cursor.has_more or batch not in {None, str(cursor.batch_number + 1)}:
        raise refusals.cursor_not_found()
    cursor.advance()
    if not cursor.has_more and not cursor.allow_retry:
        cursors.close(cursor)
    return cursor.reply(200)


def _request(call: Call) -> dict[str, Any]:
    if not call.body.strip():
        raise ArangoError(400, 1502, "query is empty")
    request = call.json()
    if not isinstance(request, dict):
        raise refusals.bad_parameter("expecting an object with a query")
    return request


def _query_text(request: dict[str, Any]) -> str:
    query = request.get("query")
    if not isinstance(query, str) or not query.strip():
        raise ArangoError(400, 1502, "query is empty")
    return query


def _object(request: dict[str, Any], name: str) -> dict[str, Any]:
    value = request.get(name)
    if value is not None and not isinstance(value, dict):
        raise refusals.bad_type(f"expecting object for <{name}>")
    return value or {}


def _batch_size(request: dict[str, Any]) -> int:
    size = request.get("batchSize")
    if size == 0 and not isinstance(size, bool):
        raise refusals.bad_type("expecting non-zero value for <batchSize>")
    return max(1, int(_positive(size, DEFAULT_BATCH)))


def _positive(value: Any, default: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and value > 0 else default


def _extra(result: QueryResult, options: dict[str, Any], seconds: float) -> dict[str, Any]:
    stats = {**_NO_STATS, **result.stats, "executionTime": seconds}
    if result.full_count is not None:
        stats["fullCount"] = result.full_count
    extra: dict[str, Any] = {"warnings": result.warnings, "stats": stats}
    if options.get("profile"):
        # A stand-in has one phase to measure.
        extra["profile"] = {"executing": seconds}
    return extra


def _check_limits(options: dict[str, Any], result: QueryResult, seconds: float) -> None:
    if seconds > _positive(options.get("maxRuntime"), math.inf):
        raise ArangoError(410, 1500, "AQL: query killed (while executing)")
    limit = _positive(options.get("memoryLimit"), 0)
    if limit and len(orjson.dumps(list(result.rows))) > limit:
        raise ArangoError(500, 32, "AQL: query would use more memory than allowed (while executing)")
