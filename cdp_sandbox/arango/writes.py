"""What can be done to one document: insert, replace, update, remove, with the conditions a client can set.

Here belongs the meaning of the options that documents, imports and their bulk forms share. Nothing here knows HTTP.
Every function must run in a transaction of the store, and either does all of its work or raises and does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from cdp_sandbox.arango import computed, refusals, schemas
from cdp_sandbox.arango.collection import Collection
from cdp_sandbox.arango.indexes import Document
from cdp_sandbox.arango.keys import is_identifier, is_key
from cdp_sandbox.arango.store import Store

OverwriteMode = Literal["conflict", "ignore", "replace", "update"]
OVERWRITE_MODES: dict[str, OverwriteMode] = {mode: mode for mode in get_args(OverwriteMode)}


@dataclass(frozen=True)
class WriteOptions:
    """How a write treats what is there.

    Attributes:
        keep_null: An update with null stores null. Otherwise it removes the attribute.
        merge_objects: An update of an object merges into it. Otherwise it takes its place.
        overwrite_mode: What an insert does when the key is there.
        expected_revision: The write happens only to this revision.
        ignore_revisions: Whether a `_rev` in the document that comes in means nothing.
    """

    keep_null: bool = True
    merge_objects: bool = True
    overwrite_mode: OverwriteMode = "conflict"
    expected_revision: str | None = None
    ignore_revisions: bool = True


@dataclass(frozen=True)
class Written:
    """What a write did.

    Attributes:
        new: The document as it is now; None after a removal.
        old: The document as it was; None if there was none.
        ignored: Nothing was done, because the document was there already.
    """

    new: Document | None
    old: Document | None = None
    ignored: bool = False


def insert(store: Store, collection: Collection, document: Any, options: WriteOptions) -> Written:
    """Store a document that is new, or treat the one with its key as `overwrite_mode` says."""
    if not isinstance(document, dict):
        raise refusals.invalid_document_type()
    if "_key" in document:
        key = document["_key"]
        if not is_key(key):
            raise refusals.illegal_document_key()
        old = collection.documents.get(key)
        if old is not None:
            return _overwrite(store, collection, document, old, options)
        if not collection.key_generator.allow_user_keys:
            raise refusals.unexpected_document_key()
        collection.key_generator.track(key)
    else:
        key = collection.key_generator.next(store.new_number)
    if options.overwrite_mode == "update" and not options.keep_null:
        document = _without_nulls(document)
    return Written(_stored(store, collection, key, document, "insert", None))


def replace(store: Store, collection: Collection, key: Any, document: Any, options: WriteOptions) -> Written:
    """Put a document in the place of the one with this key."""
    old = _existing(collection, key, document, options)
    return Written(_stored(store, collection, key, document, "replace", old), old)


def update(store: Store, collection: Collection, key: Any, patch: Any, options: WriteOptions) -> Written:
    """Change the attributes that the patch names, in the document with this key."""
    old = _existing(collection, key, patch, options)
    return Written(_stored(store, collection, key, _merged(old, patch, options), "update", old), old)


def remove(collection: Collection, key: Any, options: WriteOptions, *, revision: Any = None) -> Written:
    """Remove the document with this key.

    Args:
        collection: Where it is.
        key: Its key.
        options: `expected_revision` and `ignore_revisions` count.
        revision: The `_rev` that came with the key, if any.
    """
    old = _existing(collection, key, {"_rev": revision} if revision is not None else {}, options)
    collection.discard(key)
    return Written(None, old)


def find(collection: Collection, key: Any) -> Document:
    """Return the document with this key.

    Raises:
        ArangoError: 404/1202, there is none.
    """
    document = collection.documents.get(key) if isinstance(key, str) else None
    if document is None:
        raise refusals.document_not_found()
    return document


def _overwrite(
    store: Store, collection: Collection, document: Document, old: Document, options: WriteOptions
) -> Written:
    match options.overwrite_mode:
        case "ignore":
            return Written(old, old, ignored=True)
        case "replace":
            return replace(store, collection, old["_key"], document, options)
        case "update":
            return update(store, collection, old["_key"], document, options)
        case _:
            raise collection.indexes[0].violation(old["_key"])


def _existing(collection: Collection, key: Any, incoming: Any, options: WriteOptions) -> Document:
    if not isinstance(incoming, dict):
        raise refusals.invalid_document_type()
    old = find(collection, key)
    expected = options.expected_revision
    if expected is None and not options.ignore_revisions:
        expected = incoming.get("_rev")
    if expected is not None and expected != old["_rev"]:
        raise refusals.RevisionConflictError(old)
    return old


def _stored(  # noqa: PLR0917 - what a document consists of, and what it replaces
    store: Store, collection: Collection, key: str, document: Document, event: str, old: Document | None
) -> Document:
    if collection.is_edge and not (is_identifier(document.get("_from")) and is_identifier(document.get("_to"))):
        raise refusals.invalid_edge_attribute()
    head = {"_key": key, "_id": f"{collection.name}/{key}", "_rev": store.new_revision()}
    # The head comes first for the eye, and last so that it holds against what the client sent.
    new = computed.apply(collection.computed_values, {**head, **document, **head}, event)
    schemas.enforce(collection.schema, new, old)
    collection.put(new)
    return new


def _merged(old: Document, patch: Document, options: WriteOptions) -> Document:
    new = dict(old)
    for name, value in patch.items():
        before = old.get(name)
        if value is None and not options.keep_null:
            new.pop(name, None)
        elif options.merge_objects and isinstance(value, dict) and isinstance(before, dict):
            new[name] = _merged(before, value, options)
        else:
            new[name] = value if options.keep_null else _without_nulls(value)
    return new


def _without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without_nulls(member) for name, member in value.items() if member is not None}
