"""Requests about documents (`/_api/document`), one or many at once.

Here belongs reading the options of a request and wording its answer. What a write does is in `writes.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson

from cdp_sandbox.arango import refusals, writes
from cdp_sandbox.arango.calls import Call
from cdp_sandbox.arango.collection import Collection
from cdp_sandbox.arango.errors import ArangoError
from cdp_sandbox.arango.wire import Reply, failure, reply
from cdp_sandbox.arango.writes import OVERWRITE_MODES, WriteOptions, Written

Operation = Callable[[Any], Written]


def handle(call: Call) -> Reply:
    """Answer a request about documents."""
    try:
        return _dispatch(call)
    except refusals.RevisionConflictError as conflict:
        answer = orjson.loads(failure(conflict).body)
        return reply(answer | conflict.current, conflict.http_status, _etag(conflict.current["_rev"]))


def _dispatch(call: Call) -> Reply:
    match call.segments:
        case (name, key):
            return _for_document(call, call.database.find(name), key)
        case (name,):
            return _for_collection(call, call.database.find(name))
        case () if "collection" in call.query:
            return _for_collection(call, call.database.find(call.query["collection"]))
    raise refusals.bad_parameter("expecting /_api/document/<collection>[/<key>]")


def _for_document(call: Call, collection: Collection, key: str) -> Reply:
    match call.method:
        case "GET" | "HEAD":
            return _read(call, collection, key)
        case "PUT" | "PATCH":
            return _answer_one(call, collection, call.json(), _operation(call, collection, key))
        case "DELETE":
            return _answer_one(call, collection, key, _operation(call, collection, key))
    raise refusals.method_not_supported()


def _for_collection(call: Call, collection: Collection) -> Reply:
    match call.method:
        case "POST":
            return _insert(call, collection)
        case "PUT" if call.flag("onlyget"):
            return _read_many(call, collection)
        case "PUT" | "PATCH" | "DELETE":
            return _answer_many(call, collection, _items(call), _operation(call, collection, None))
    raise refusals.method_not_supported()


def _read(call: Call, collection: Collection, key: str) -> Reply:
    document = writes.find(collection, key)
    etag = _etag(document["_rev"])
    if _revision(call, "if-none-match") == document["_rev"]:
        return Reply(304, b"", {**etag, "content-type": "text/plain"})
    expected = _revision(call, "if-match")
    if expected is not None and expected != document["_rev"]:
        raise refusals.RevisionConflictError(document)
    return reply(document, headers=etag)


def _read_many(call: Call, collection: Collection) -> Reply:
    options = _options(call)

    def read(item: Any) -> Any:
        document = writes.find(collection, _key_of(collection, item))
        revision = item.get("_rev") if isinstance(item, dict) else None
        if not options.ignore_revisions and revision is not None and revision != document["_rev"]:
            raise refusals.RevisionConflictError(document)
        return document

    results, errors = _each(_items(call), read)
    return reply(results, headers=_error_codes(errors))


def _insert(call: Call, collection: Collection) -> Reply:
    options = _options(call)
    body = call.json()

    def insert(item: Any) -> Written:
        return writes.insert(call.store, collection, item, options)

    if isinstance(body, list):
        return _answer_many(call, collection, body, insert)
    return _answer_one(call, collection, body, insert)


def _operation(call: Call, collection: Collection, key: str | None) -> Operation:
    """Return what a PUT, PATCH or DELETE does to one item. Without a key, the item names its document itself."""
    options = _options(call)

    def write(item: Any) -> Written:
        if call.method != "DELETE" and not isinstance(item, dict):
            raise refusals.invalid_document_type()
        name = _key_of(collection, item) if key is None else key
        if call.method == "DELETE":
            revision = item.get("_rev") if isinstance(item, dict) else None
            return writes.remove(collection, name, options, revision=revision)
        write = writes.replace if call.method == "PUT" else writes.update
        return write(call.store, collection, name, item, options)

    return write


def _answer_one(call: Call, collection: Collection, body: Any, operation: Operation) -> Reply:
    with call.store.transaction():
        written = operation(body)
    current = written.new or written.old or {}
    location = call.location(f"/_api/document/{current['_id']}")
    shown = {} if call.flag("silent") else _shown(call, written)
    return reply(shown, _status(call, collection), {**_etag(current["_rev"]), "location": location})


def _answer_many(call: Call, collection: Collection, items: list[Any], operation: Operation) -> Reply:
    with call.store.transaction():
        results, errors = _each(items, lambda item: _shown(call, operation(item)))
    if call.flag("silent"):
        results = [result for result in results if "error" in result]
    # With an error among them, a real server does not report the others as synced.
    status = _status(call, collection) if not errors else 202
    return reply(results, status, _error_codes(errors))


def _each(items: list[Any], operation: Callable[[Any], Any]) -> tuple[list[Any], Counter[int]]:
    results, errors = [], Counter[int]()
    for item in items:
        try:
            results.append(operation(item))
        except ArangoError as error:
            errors[error.number] += 1
            results.append({"error": True, "errorNum": error.number, "errorMessage": error.message})
    return results, errors


def _shown(call: Call, written: Written) -> dict[str, Any]:
    current = written.new or written.old or {}
    shown: dict[str, Any] = {name: current[name] for name in ("_id", "_key", "_rev")}
    if written.ignored:
        return shown
    if written.new is not None and call.flag("returnNew"):
        shown["new"] = written.new
    if written.old is not None:
        if written.new is not None:
            shown["_oldRev"] = written.old["_rev"]
        if call.flag("returnOld"):
            shown["old"] = written.old
    return shown


def _options(call: Call) -> WriteOptions:
    mode = "replace" if call.flag("overwrite") else "conflict"
    return WriteOptions(
        keep_null=call.flag("keepNull", default=True),
        merge_objects=call.flag("mergeObjects", default=True),
        overwrite_mode=OVERWRITE_MODES.get(call.query.get("overwriteMode", ""), mode),
        expected_revision=_revision(call, "if-match"),
        ignore_revisions=call.flag("ignoreRevs", default=True),
    )


def _items(call: Call) -> list[Any]:
    body = call.json()
    if not isinstance(body, list):
        raise refusals.bad_parameter("expecting a JSON array")
    return body


def _key_of(collection: Collection, item: Any) -> str:
    """Return the key in a key, an identifier or a document. An identifier of another collection names nothing here."""
    if isinstance(item, dict):
        if "_key" not in item and "_id" not in item:
            raise refusals.illegal_document_identifier()
        item = item.get("_key", item.get("_id"))
    if not isinstance(item, str) or not item:
        raise refusals.illegal_document_key()
    name, slash, key = item.partition("/")
    if slash and name != collection.name:
        raise refusals.document_not_found()
    return key if slash else item


def _status(call: Call, collection: Collection) -> int:
    if not (collection.wait_for_sync or call.flag("waitForSync")):
        return 202
    return 200 if call.method == "DELETE" else 201


def _revision(call: Call, header: str) -> str | None:
    value = call.headers.get(header)
    return value.strip().strip('"') if value else None


def _etag(revision: str) -> dict[str, str]:
    return {"etag": f'"{revision}"'}


def _error_codes(errors: Counter[int]) -> dict[str, str]:
    if not errors:
        return {}
    return {"x-arango-error-codes": orjson.dumps({str(number): count for number, count in errors.items()}).decode()}
