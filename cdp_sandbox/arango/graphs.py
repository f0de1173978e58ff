"""Requests about named graphs (`/_api/gharial`): their definitions.

A graph is a document of the collection `_graphs` of its database, as on a real server, and making one makes the
collections that it names. Here belongs what a graph consists of. Its vertices and edges are documents of ordinary
collections, to be read and written as such: writing them through the graph would have to check every edge against the
definition, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cdp_sandbox.arango import refusals, writes
from cdp_sandbox.arango.calls import Call
from cdp_sandbox.arango.collection import DOCUMENT_TYPE, EDGE_TYPE, Collection
from cdp_sandbox.arango.databases import is_valid_name
from cdp_sandbox.arango.errors import ArangoError
from cdp_sandbox.arango.wire import Reply, success
from cdp_sandbox.arango.writes import WriteOptions

Graph = dict[str, Any]


def handle(call: Call) -> Reply:  # noqa: PLR0911 - one for each kind of request
    """Answer a request about graphs."""
    match call.method, call.segments:
        case "GET", ():
            return success({"graphs": [_shown(graph) for graph in _stored(call).documents.values()]})
        case "POST", ():
            return _create(call)
        case "GET", (name,):
            return success({"graph": _shown(_find(call, name))})
        case "DELETE", (name,):
            return _remove(call, _find(call, name))
        case "GET", (name, "vertex"):
            return success({"collections": sorted(_vertex_collections(_find(call, name)))})
        case "GET", (name, "edge"):
            return success({"collections": sorted(_edge_collections(_find(call, name)))})
        case "POST", (name, "vertex"):
            return _add_vertex_collection(call, _find(call, name))
        case "POST", (name, "edge"):
            return _add_edge_definition(call, _find(call, name))
        case "DELETE", (name, "vertex", collection):
            return _remove_vertex_collection(call, _find(call, name), collection)
        case "DELETE", (name, "edge", collection):
            return _remove_edge_definition(call, _find(call, name), collection)
        case _, (name, "vertex" | "edge", *_):
            _find(call, name)
            raise refusals.not_implemented("vertices and edges by the name of a graph")
    raise refusals.method_not_supported()


def _create(call: Call) -> Reply:
    body = _object(call)
    name = body.get("name")
    if not isinstance(name, str) or not name:
        raise ArangoError(400, 1922, "missing graph name")
    if not is_valid_name(name) or "/" in name:
        raise refusals.illegal_document_key()
    if name in _stored(call).documents:
        raise ArangoError(409, 1925, "graph already exists")
    options = body.get("options")
    if body.get("isSmart") or (isinstance(options, dict) and any(options.values())):
        raise refusals.not_implemented("options of a graph")
    definitions = [_definition(definition) for definition in _list(body, "edgeDefinitions", 1923)]
    names = [definition["collection"] for definition in definitions]
    if len(set(names)) != len(names):
        raise ArangoError(400, 1920, "multi use of edge collection in edge def")
    orphans = _list(body, "orphanCollections", 1943)
    if not all(isinstance(orphan, str) for orphan in orphans):
        raise ArangoError(400, 1943, "malformed orphan list")
    graph = {"_key": name, "edgeDefinitions": definitions, "orphanCollections": orphans}
    return _save(call, graph)


def _remove(call: Call, graph: Graph) -> Reply:
    with call.store.transaction():
        writes.remove(_stored(call), graph["_key"], WriteOptions())
        if call.flag("dropCollections"):
            for name in {*_vertex_collections(graph), *_edge_collections(graph)}:
                _drop_unless_used(call, name)
    return success({"removed": True}, _status(call))


def _add_vertex_collection(call: Call, graph: Graph) -> Reply:
    name = _object(call).get("collection")
    if not isinstance(name, str):
        raise refusals.illegal_name(name)
    if name in graph["orphanCollections"]:
        raise ArangoError(400, 1938, "collection used in orphans")
    if name in _vertex_collections(graph):
        raise ArangoError(400, 1929, "collection already used in edge def")
    return _save(call, graph | {"orphanCollections": [*graph["orphanCollections"], name]})


def _remove_vertex_collection(call: Call, graph: Graph, name: str) -> Reply:
    if name not in graph["orphanCollections"]:
        if name in _vertex_collections(graph):
            raise ArangoError(400, 1928, "collection is not in list of orphan collections")
        raise ArangoError(404, 1926, "vertex collection does not exist or is not part of the graph")
    orphans = [orphan for orphan in graph["orphanCollections"] if orphan != name]
    return _save(call, graph | {"orphanCollections": orphans}, dropped=name if call.flag("dropCollection") else None)


def _add_edge_definition(call: Call, graph: Graph) -> Reply:
    definition = _definition(_object(call))
    if definition["collection"] in _edge_collections(graph):
        raise ArangoError(400, 1920, "multi use of edge collection in edge def")
    return _save(call, graph | {"edgeDefinitions": [*graph["edgeDefinitions"], definition]})


def _remove_edge_definition(call: Call, graph: Graph, name: str) -> Reply:
    if name not in _edge_collections(graph):
        raise ArangoError(404, 1930, "edge collection not used in graph")
    kept = [definition for definition in graph["edgeDefinitions"] if definition["collection"] != name]
    # A graph keeps its vertex collections when the edges between them go.
    smaller = graph | {"edgeDefinitions": kept}
    lost = [one for one in _vertex_collections(graph) if one not in _vertex_collections(smaller)]
    smaller["orphanCollections"] = [*graph["orphanCollections"], *lost]
    return _save(call, smaller, dropped=name if call.flag("dropCollections") else None)


def _save(call: Call, graph: Graph, *, dropped: str | None = None) -> Reply:
    """Store a graph, with the collections it names that are not there yet."""
    used = set(_vertex_collections(graph))
    definitions = graph["edgeDefinitions"]
    orphans = [name for name in graph["orphanCollections"] if name not in _ends(definitions)]
    stored = {"_key": graph["_key"], "edgeDefinitions": definitions, "orphanCollections": orphans}
    with call.store.transaction():
        for name in _edge_collections(graph):
            _ensure(call, name, EDGE_TYPE)
        for name in sorted(used):
            _ensure(call, name, DOCUMENT_TYPE)
        options = WriteOptions(overwrite_mode="replace")
        written = writes.insert(call.store, _stored(call), stored, options).new or {}
        if dropped is not None:
            _drop_unless_used(call, dropped)
    return success({"graph": _shown(written)}, _status(call), {"etag": f'"{written["_rev"]}"'})


def _ensure(call: Call, name: str, kind: int) -> None:
    collection = call.database.collections.get(name)
    if collection is None:
        if not is_valid_name(name):
            raise refusals.illegal_name(name)
        call.store.create_collection(call.database, name, kind=kind)
    elif kind == EDGE_TYPE and not collection.is_edge:
        raise ArangoError(400, 1944, "edge definition collection is a document collection")
    elif kind == DOCUMENT_TYPE and collection.is_edge:
        raise ArangoError(400, 1927, "collection not a vertex collection")


def _drop_unless_used(call: Call, name: str) -> None:
    collection = call.database.collections.get(name)
    others = _stored(call).documents.values()
    if collection is not None and not any(
        name in _vertex_collections(graph) or name in _edge_collections(graph) for graph in others
    ):
        call.store.drop_collection(call.database, collection)


def _stored(call: Call) -> Collection:
    return call.database.find("_graphs")


def _find(call: Call, name: str) -> Graph:
    graph = _stored(call).documents.get(name)
    if graph is None:
        raise ArangoError(404, 1924, f"graph '{name}' not found")
    return graph


def _shown(graph: Graph) -> Graph:
    return {**graph, "name": graph["_key"]}


def _edge_collections(graph: Graph) -> list[str]:
    return [definition["collection"] for definition in graph["edgeDefinitions"]]


def _vertex_collections(graph: Graph) -> list[str]:
    return list(dict.fromkeys([*_ends(graph["edgeDefinitions"]), *graph["orphanCollections"]]))


def _ends(definitions: Iterable[dict[str, Any]]) -> list[str]:
    return [name for definition in definitions for name in (*definition["from"], *definition["to"])]


def _definition(body: Any) -> dict[str, Any]:
    malformed = ArangoError(400, 1923, "malformed edge definition")
    if not isinstance(body, dict) or not isinstance(body.get("collection"), str):
        raise malformed
    ends = {side: body.get(side) for side in ("from", "to")}
    for names in ends.values():
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise malformed
    return {"collection": body["collection"], **ends}


def _list(body: dict[str, Any], name: str, number: int) -> list[Any]:
    value = body.get(name) or []
    if not isinstance(value, list):
        raise ArangoError(400, number, f"malformed {name}")
    return value


def _object(call: Call) -> dict[str, Any]:
    body = call.json()
    if not isinstance(body, dict):
        raise refusals.bad_parameter("unable to parse body")
    return body


def _status(call: Call) -> int:
    return 201 if call.flag("waitForSync") and call.method == "POST" else 202
