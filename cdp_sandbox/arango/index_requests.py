"""Requests about indexes (`/_api/index`).

Here belongs the HTTP side of indexes. What an index is and does is in `indexes.py`.
"""

from __future__ import annotations

from cdp_sandbox.arango import refusals
from cdp_sandbox.arango.calls import Call
from cdp_sandbox.arango.collection import Collection
from cdp_sandbox.arango.indexes import Index, define
from cdp_sandbox.arango.wire import Reply, success


def handle(call: Call) -> Reply:
    """Answer a request about indexes."""
    match call.method, call.segments:
        case "GET", ():
            collection = _named_collection(call)
            shown = [index.describe(collection.name) for index in collection.indexes]
            return success({"indexes": shown, "identifiers": {index["id"]: index for index in shown}})
        case "POST", ():
            return _create(call, _named_collection(call))
        case "GET", (name, identifier):
            collection = call.database.find(name)
            return success(_find(collection, identifier).describe(collection.name))
        case "DELETE", (name, identifier):
            return _drop(call, call.database.find(name), identifier)
    raise refusals.method_not_supported()


def _create(call: Call, collection: Collection) -> Reply:
    index = define(call.json(), call.store.new_number())
    existing = next((one for one in collection.indexes if one.same_as(index)), None)
    if existing is not None:
        return success(existing.describe(collection.name) | {"isNewlyCreated": False})
    if index.type == "ttl" and any(one.type == "ttl" for one in collection.indexes):
        raise refusals.bad_value("there can only be one ttl index per collection")
    if any(one.name == index.name for one in collection.indexes):
        raise refusals.duplicate_name(index.name)
    with call.store.transaction():
        collection.add_index(index)
    return success(index.describe(collection.name) | {"isNewlyCreated": True}, 201)


def _drop(call: Call, collection: Collection, identifier: str) -> Reply:
    index = _find(collection, identifier)
    if index.type in {"primary", "edge"}:
        raise refusals.forbidden()
    with call.store.transaction():
        collection.drop_index(index)
    return success({"id": f"{collection.name}/{index.id}"})


def _named_collection(call: Call) -> Collection:
    if "collection" not in call.query:
        raise refusals.bad_parameter("expecting query parameter 'collection'")
    return call.database.find(call.query["collection"])


def _find(collection: Collection, identifier: str) -> Index:
    for index in collection.indexes:
        if identifier in {index.id, index.name}:
            return index
    raise refusals.index_not_found()
