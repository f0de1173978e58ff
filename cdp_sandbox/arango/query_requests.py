"""Queries over HTTP (`/_api/{cursor,query,query-cache,explain,edges}`).

Here belongs running a query on a database and handing out its result in batches. What a query means is in `aql/`.

`memoryLimit` counts the size of the result as JSON, which is less than a real server would count; `maxRuntime` is
looked at when the query has ended.
"""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import orjson

from cdp_sandbox.arango import refusals, writes
from cdp_sandbox.arango.aql import QueryResult, execute, figures, parse, plan, repeatable
from cdp_sandbox.arango.calls import Call
from cdp_sandbox.arango.cursors import Cursor
from cdp_sandbox.arango.errors import ArangoError, not_implemented
from cdp_sandbox.arango.store import Database, Store
from cdp_sandbox.arango.wire import Reply, reply, success
from cdp_sandbox.arango.writes import OVERWRITE_MODES, WriteOptions

DEFAULT_BATCH = 1000
DEFAULT_TTL_SECONDS = 30.0

_PHASES = (
    *("initializing", "parsing", "optimizing ast", "loading collections", "instantiating plan", "optimizing plan"),
    *("instantiating executors", "executing", "finalizing"),
)

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

    def indexes(self, collection: str) -> Sequence[dict[str, Any]]:
        """Return the indexes of a collection."""
        return [index.describe(collection) for index in self._database.find(collection).indexes]


class StoreWriter:
    """Changes the documents of one database, in the open transaction of the store."""

    def __init__(self, store: Store, database: Database) -> None:
        self._store = store
        self._database = database

    def change(
        self, verb: str, collection: str, key: str | None, document: Any, options: Mapping[str, Any]
    ) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Change one document as a statement of a query says. Returns it as it was and as it is."""
        target, chosen = self._database.find(collection), _write_options(options)
        try:
            match verb:
                case "INSERT":
                    written = writes.insert(self._store, target, document, chosen)
                case "UPDATE":
                    written = writes.update(self._store, target, key, document, chosen)
                case "REPLACE":
                    written = writes.replace(self._store, target, key, document, chosen)
                case _:
                    revision = document.get("_rev") if isinstance(document, dict) else None
                    written = writes.remove(target, key, chosen, revision=revision)
        except refusals.RevisionConflictError as conflict:
            # Only requests about single documents call this a failed precondition.
            raise ArangoError(409, conflict.number, conflict.message) from None
        return written.old, written.new


def handle_cursor(call: Call) -> Reply:
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
    """Answer a request about queries. `POST` checks one without running it: a right one is refused for its `ast`."""
    if call.method != "POST" or call.segments:
        return _handle_tracking(call)
    parse(_query_text(_request(call)))
    raise refusals.not_implemented("the syntax tree of a query")


def _handle_tracking(call: Call) -> Reply:
    """Answer a request about queries that run or ran."""
    tracking = call.server.tracking(call.database.name)
    match call.method, call.segments:
        case "GET", ("properties",):
            return success(tracking.properties)
        case "PUT", ("properties",):
            tracking.change(call.json())
            return success(tracking.properties)
        case "GET", ("current",):
            return reply([])
        case "GET", ("slow",):
            return reply(tracking.slow)
        case "DELETE", ("slow",):
            tracking.slow.clear()
            return success({})
        case "DELETE", (_,):
            raise ArangoError(404, 1591, "query ID not found")
        case "GET", ("rules",):
            raise refusals.not_implemented("rules of the optimizer")
    raise refusals.method_not_supported()


def handle_cache(call: Call) -> Reply:
    """Answer a request about the cache of results."""
    cache = call.server.results
    match call.method, call.segments:
        case "GET", ("properties",):
            return reply(cache.properties)
        case "PUT", ("properties",):
            cache.change(call.json())
            return reply(cache.properties)
        case "GET", ("entries",):
            return reply(cache.described(call.database.name))
        case "DELETE", ():
            cache.clear()
            return success({})
    raise refusals.method_not_supported()


def handle_explain(call: Call) -> Reply:
    """Answer `POST /_api/explain`: how the stand-in would run a query. There is one plan for each query."""
    if call.method != "POST" or call.segments:
        raise refusals.method_not_supported()
    request = _request(call)
    started = time.perf_counter()
    source, writer = DatabaseSource(call.database), StoreWriter(call.store, call.database)
    binds = _object(request, "bindVars")
    query = _query_text(request)
    result = execute(query, binds, source, writer=writer, planning_only=True)
    told = plan(result.steps, source, call.database.name)
    if _object(request, "options").get("allPlans"):
        plans: dict[str, Any] = {"plans": [told]}
    else:
        plans = {"plan": told, "cacheable": repeatable(parse(query)) and not parse(query).changes}
    stats = {"rulesExecuted": 0, "rulesSkipped": 0, "plansCreated": 1, "peakMemoryUsage": 0}
    stats["executionTime"] = time.perf_counter() - started
    return success({**plans, "warnings": result.warnings, "stats": stats})


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


class _Run:
    """One query that is to be answered."""

    def __init__(self, call: Call, request: dict[str, Any], options: dict[str, Any], *, stream: bool) -> None:
        self._call, self._request, self._options, self._stream = call, request, options, stream
        self._binds = _object(request, "bindVars")
        self._full_count = bool(options.get("fullCount")) and not stream
        try:
            self._parsed = parse(request["query"])
        except ArangoError:
            # Running it tells what is wrong with it.
            self._parsed = None
        self._cacheable = self._parsed is not None and call.server.results.wanted(self._parsed, options)

    def kept(self) -> tuple[QueryResult, float, bool] | None:
        """Return the result, the seconds it took, and that it is from the cache, if it is."""
        found = self._call.server.results.find(self._call.database, self._key()) if self._cacheable else None
        return found and (*found, True)

    def fresh(self) -> tuple[QueryResult, float, bool]:
        """Run the query. Return its result, the seconds it took, and that it is not from the cache."""
        call, options = self._call, self._options
        started = time.perf_counter()
        # A query that only reads must not wait for the disk.
        changes = self._parsed is not None and self._parsed.changes
        with call.store.transaction() if changes else nullcontext():
            result = execute(
                self._request["query"],
                self._binds,
                DatabaseSource(call.database),
                writer=StoreWriter(call.store, call.database),
                full_count=self._full_count,
                fail_on_warning=bool(options.get("failOnWarning")),
                profiling=_is_profiled(options),
                shuffle=random.Random(),
            )
            seconds = time.perf_counter() - started
            _check_limits(options, result, seconds)
        call.server.tracking(call.database.name).note(
            self._request,
            database=call.database.name,
            user=call.user,
            stream=self._stream,
            seconds=seconds,
            new_number=call.store.new_number,
        )
        if self._cacheable and self._parsed is not None:
            named = [name for key, name in self._binds.items() if key.startswith("@")]
            collections = sorted({*self._parsed.collections, *named})
            call.server.results.keep(call.database, self._key(), self._request, collections, result, seconds)
        return result, seconds, False

    def _key(self) -> bytes:
        text = orjson.dumps([self._request["query"], self._binds, self._full_count], option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(text, digest_size=16).digest()


def _create(call: Call) -> Reply:
    request = _request(call)
    _query_text(request)
    # Clients send some options in both places. The ones under `options` are the ones a server reads.
    options = {**request, **_object(request, "options")}
    batch_size, ttl = _batch_size(request), _positive(request.get("ttl"), DEFAULT_TTL_SECONDS)
    stream = bool(options.get("stream"))
    run = _Run(call, request, options, stream=stream)
    result, seconds, cached = run.kept() or run.fresh()
    profiled = _is_profiled(options)
    told = plan(result.steps, DatabaseSource(call.database), call.database.name) if profiled else None
    cursor = Cursor(
        id=str(call.store.new_number()),
        database=call.database.name,
        rows=result.rows,
        batch_size=batch_size,
        ttl=ttl,
        extra=_extra(result, options, seconds, told),
        counted=bool(request.get("count")) and not stream,
        stream=stream,
        allow_retry=bool(options.get("allowRetry")),
        cached=cached,
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


def _is_profiled(options: Mapping[str, Any]) -> bool:
    level = options.get("profile")
    return isinstance(level, int) and level >= 2


def _profile(result: QueryResult, seconds: float) -> dict[str, float]:
    """Return the seconds of each phase. There is no optimizer, so its phases take no time."""
    phases = {**dict.fromkeys(_PHASES, 0.0), **result.seconds}
    phases["initializing"] = max(0.0, seconds - sum(result.seconds.values()))
    return phases


def _write_options(options: Mapping[str, Any]) -> WriteOptions:
    mode = options.get("overwriteMode", "replace" if options.get("overwrite") else "conflict")
    if mode not in OVERWRITE_MODES:
        raise refusals.bad_parameter(f"invalid value for 'overwriteMode': {mode}")
    if mode == "ignore":
        raise not_implemented("overwriteMode 'ignore' in a query")
    return WriteOptions(
        keep_null=bool(options.get("keepNull", True)),
        merge_objects=bool(options.get("mergeObjects", True)),
        overwrite_mode=OVERWRITE_MODES[mode],
        ignore_revisions=bool(options.get("ignoreRevs", True)),
    )


def _batch_size(request: dict[str, Any]) -> int:
    size = request.get("batchSize")
    if size == 0 and not isinstance(size, bool):
        raise refusals.bad_type("expecting non-zero value for <batchSize>")
    return max(1, int(_positive(size, DEFAULT_BATCH)))


def _positive(value: Any, default: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and value > 0 else default


def _extra(result: QueryResult, options: dict[str, Any], seconds: float, told: dict[str, Any] | None) -> dict[str, Any]:
    stats = {**_NO_STATS, **result.stats, "executionTime": seconds}
    if result.full_count is not None:
        stats["fullCount"] = result.full_count
    extra: dict[str, Any] = {"warnings": result.warnings, "stats": stats}
    if options.get("profile"):
        extra["profile"] = _profile(result, seconds)
    if told is not None:
        stats["nodes"] = figures(result.steps)
        extra["plan"] = told
    return extra


def _check_limits(options: dict[str, Any], result: QueryResult, seconds: float) -> None:
    if seconds > _positive(options.get("maxRuntime"), math.inf):
        raise ArangoError(410, 1500, "AQL: query killed (while executing)")
    limit = _positive(options.get("memoryLimit"), 0)
    if limit and len(orjson.dumps(list(result.rows))) > limit:
        raise ArangoError(500, 32, "AQL: query would use more memory than allowed (while executing)")
