"""Requests about collections (`/_api/collection`).

Here belongs creating, listing, describing and changing collections over HTTP. Their documents are in `documents.py`.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from cdp_sandbox.arango import computed, refusals, schemas
from cdp_sandbox.arango.calls import Call
from cdp_sandbox.arango.collection import DOCUMENT_TYPE, EDGE_TYPE, Collection
from cdp_sandbox.arango.databases import is_valid_name
from cdp_sandbox.arango.errors import ArangoError
from cdp_sandbox.arango.indexes import SORTED_TYPES
from cdp_sandbox.arango.keys import KeyGenerator
from cdp_sandbox.arango.wire import Reply, success

_SYSTEM_NAME = re.compile(r"_[a-zA-Z0-9_-]{1,255}")


def handle(call: Call) -> Reply:
    """Answer a request about collections."""
    match call.method, call.segments:
        case "GET", ():
            return _list(call)
        case "POST", ():
            return _create(call)
        case "DELETE", (name,):
            return _drop(call, name)
        case "GET", (name,):
            return success(_summary(call, call.database.find(name)))
        case "GET", (name, aspect):
            return _read(call, name, aspect)
        case "PUT", (name, action):
            return _change(call, name, action)
    raise refusals.method_not_supported()


def _list(call: Call) -> Reply:
    without_system = call.flag("excludeSystem")
    shown = [one for one in call.database.collections.values() if not (without_system and one.is_system)]
    return success({"result": [_summary(call, collection) for collection in shown]})


def _create(call: Call) -> Reply:
    definition = call.json()
    if not isinstance(definition, dict):
        raise refusals.bad_parameter()
    name = definition.get("name")
    is_system = bool(definition.get("isSystem"))
    if not (_SYSTEM_NAME.fullmatch(str(name)) if is_system else is_valid_name(name)):
        raise refusals.illegal_name(name)
    if name in call.database.collections:
        raise refusals.duplicate_name(name)
    schema, computed_values = (
        schemas.checked(definition.get("schema")),
        computed.checked(definition.get("computedValues")),
    )
    kind = definition.get("type", DOCUMENT_TYPE)
    if kind not in {DOCUMENT_TYPE, EDGE_TYPE}:
        raise refusals.collection_type_invalid()
    with call.store.transaction():
        collection = call.store.create_collection(
            call.database,
            name,
            kind=kind,
            is_system=is_system,
            wait_for_sync=bool(definition.get("waitForSync")),
            cache_enabled=bool(definition.get("cacheEnabled")),
            key_generator=KeyGenerator.from_options(definition.get("keyOptions")),
        )
        if schema or computed_values:
            collection.schema, collection.computed_values = schema, computed_values
            call.store.touch(collection)
    return success(_properties(call, collection))


def _drop(call: Call, name: str) -> Reply:
    collection = call.database.find(name)
    if collection.is_system and not call.flag("isSystem"):
        raise refusals.forbidden()
    with call.store.transaction():
        call.store.drop_collection(call.database, collection)
    return success({"id": collection.id})


def _read(call: Call, name: str, aspect: str) -> Reply:
    collection = call.database.find(name)
    match aspect:
        case "properties":
            shown = _properties(call, collection)
        case "count":
            shown = _properties(call, collection) | {"count": collection.count()}
        case "revision":
            shown = _properties(call, collection) | {"revision": collection.revision}
        case "figures":
            figures = _figures(collection) | ({"engine": _entries(collection)} if call.flag("details") else {})
            counted = {"count": collection.count(), "figures": figures}
            shown = _properties(call, collection) | counted
        case "checksum":
            with_revisions, with_data = call.flag("withRevisions"), call.flag("withData")
            checksum = collection.checksum(with_revisions=with_revisions, with_data=with_data)
            shown = _summary(call, collection) | {"revision": collection.revision, "checksum": str(checksum)}
        case "shards":
            raise ArangoError(501, 1471, "this operation is only valid on a coordinator in a cluster")
        case _:
            raise ArangoError(404, 404, "expecting one of the resources 'checksum', 'count', 'figures', ...")
    return success(shown, headers=_location(call))


def _change(call: Call, name: str, action: str) -> Reply:
    collection = call.database.find(name)
    match action:
        case "properties":
            shown = _configure(call, collection)
        case "rename":
            shown = _rename(call, collection)
        case "truncate":
            with call.store.transaction():
                collection.truncate()
            shown = _summary(call, collection)
        case "load":
            shown = _summary(call, collection) | {"count": collection.count()}
        case "unload" | "compact":
            shown = _summary(call, collection)
        case "loadIndexesIntoMemory" | "recalculateCount":
            shown = {"result": True}
        case _:
            raise ArangoError(404, 404, "expecting one of the actions 'load', 'unload', 'truncate', ...")
    return success(shown, headers=_location(call))


def _configure(call: Call, collection: Collection) -> dict[str, Any]:
    changes = call.json()
    if not isinstance(changes, dict):
        raise refusals.bad_parameter()
    schema = schemas.checked(changes["schema"]) if "schema" in changes else collection.schema
    computed_values = collection.computed_values
    if "computedValues" in changes:
        computed_values = computed.checked(changes["computedValues"])
    with call.store.transaction():
        collection.schema, collection.computed_values = schema, computed_values
        collection.wait_for_sync = bool(changes.get("waitForSync", collection.wait_for_sync))
        collection.cache_enabled = bool(changes.get("cacheEnabled", collection.cache_enabled))
        call.store.touch(collection)
    return _properties(call, collection)


def _rename(call: Call, collection: Collection) -> dict[str, Any]:
    wanted = call.json()
    name = wanted.get("name") if isinstance(wanted, dict) else None
    if collection.is_system or not is_valid_name(name):
        raise refusals.illegal_name(name)
    if name != collection.name:
        if name in call.database.collections:
            raise refusals.duplicate_name(name)
        with call.store.transaction():
            call.store.rename_collection(call.database, collection, name)
    return _summary(call, collection)


def _summary(call: Call, collection: Collection) -> dict[str, Any]:
    return {
        "id": collection.id,
        "name": collection.name,
        "status": 3,
        "type": collection.type,
        "isSystem": collection.is_system,
        "globallyUniqueId": f"{call.store.server_id}/{collection.id}",
    }


def _properties(call: Call, collection: Collection) -> dict[str, Any]:
    return {
        **_summary(call, collection),
        "statusString": "loaded",
        "writeConcern": 1,
        "waitForSync": collection.wait_for_sync,
        "usesRevisionsAsDocumentIds": True,
        "syncByRevision": True,
        "isSmartChild": False,
        "schema": collection.schema,
        "computedValues": collection.computed_values,
        "cacheEnabled": collection.cache_enabled,
        "internalValidatorType": 0,
        "keyOptions": collection.key_generator.describe(),
        "objectId": str(collection.number - 1),
    }


def _figures(collection: Collection) -> dict[str, Any]:
    size = sum(len(orjson.dumps(document)) for document in collection.documents.values())
    return {
        "indexes": {"count": len(collection.indexes), "size": 0},
        "documentsSize": size,
        "cacheInUse": False,
        "cacheSize": 0,
        "cacheUsage": 0,
    }


def _entries(collection: Collection) -> dict[str, Any]:
    """Return how many entries the indexes have, for those with one entry per document."""
    for index in collection.indexes:
        if index.type not in {"primary", *SORTED_TYPES} or any("[*]" in name for name in index.fields):
            raise refusals.not_implemented(f"figures of an index of type {index.type}")
    documents = collection.documents.values()
    counted = [
        {"type": index.type, "id": int(index.id), "count": sum(index.values_of(one) is not None for one in documents)}
        for index in collection.indexes
    ]
    return {"documents": len(documents), "indexes": counted}


def _location(call: Call) -> dict[str, str]:
    return {"location": call.location(call.path)}
