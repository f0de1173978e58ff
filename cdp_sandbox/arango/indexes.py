"""Indexes of a collection: what a client sees of them, and the one thing they do here, which is to keep values unique.

Here belongs the definition of an index and its values. Scans are not made faster by an index in the stand-in: the query
engine reads whole collections. So an index type is accepted where speed is all that a real one would add, and refused
where it would also change what is found (`inverted`). A `zkd` index checks documents, and so does this one: they must
have numbers to be in it. What a `ttl` index removes is removed by `expiry.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from cdp_sandbox.arango import refusals

Document = dict[str, Any]

# Further attributes of an index that a client sees, with what they are when nobody says otherwise.
_SETTINGS: dict[str, dict[str, Any]] = {
    "persistent": {"cacheEnabled": False, "deduplicate": True, "estimates": True},
    "hash": {"cacheEnabled": False, "deduplicate": True, "estimates": True},
    "skiplist": {"cacheEnabled": False, "deduplicate": True, "estimates": True},
    "geo": {
        "bestIndexedLevel": 17,
        "geoJson": False,
        "legacyPolygons": False,
        "maxNumCoverCells": 8,
        "worstIndexedLevel": 4,
    },
    "fulltext": {"minLength": 2},
    "zkd": {"fieldValueTypes": None},
    "ttl": {"estimates": False, "expireAfter": None},
}
_MOST_FIELDS = {"geo": 2, "fulltext": 1, "ttl": 1}
SORTED_TYPES = ("persistent", "hash", "skiplist")
ACCEPTED_TYPES = ("primary", "edge", *_SETTINGS)


@dataclass
class Index:
    """One index of one collection.

    Attributes:
        id: The number in its identifier (`collection/id`).
        settings: Further attributes that a client sees.
        keys: For a unique index, which document key has which values.
    """

    id: str
    name: str
    type: str
    fields: list[str]
    unique: bool
    sparse: bool
    settings: dict[str, Any] = field(default_factory=dict)
    keys: dict[bytes, str] = field(default_factory=dict, repr=False, compare=False)

    def describe(self, collection_name: str) -> dict[str, Any]:
        """Return the index as a client sees it."""
        described = {
            "fields": self.fields,
            "id": f"{collection_name}/{self.id}",
            "name": self.name,
            "sparse": self.sparse,
            "type": self.type,
            "unique": self.unique,
            **self.settings,
        }
        if self.type in {"primary", "edge", *SORTED_TYPES}:
            described["selectivityEstimate"] = 1
        return described

    def stored(self) -> dict[str, Any]:
        """Return what makes this index again after a restart."""
        names = ("id", "name", "type", "fields", "unique", "sparse", "settings")
        return {name: getattr(self, name) for name in names}

    def same_as(self, other: Index) -> bool:
        """Tell whether creating one where the other exists changes nothing."""
        return (self.type, self.fields, self.unique, self.sparse) == (
            other.type,
            other.fields,
            other.unique,
            other.sparse,
        )

    def values_of(self, document: Document) -> bytes | None:
        """Return what must be unique of a document, or None if this document is not in the index."""
        values = [value_at(document, path) for path in self.fields]
        if self.sparse and None in values:
            return None
        return orjson.dumps(values, option=orjson.OPT_SORT_KEYS)

    def check(self, document: Document) -> None:
        """Raise unless a document can be in this index."""
        if self.type == "zkd" and not all(_is_number(value_at(document, path)) for path in self.fields):
            raise refusals.invalid_arithmetic_value()

    def violation(self, key: str) -> Exception:
        """Return the error that names this index and the document that has the values already."""
        return refusals.unique_violation(self.name, self.type, ", ".join(self.fields), key)


def primary() -> Index:
    """Return the index over `_key` that every collection has."""
    return Index("0", "primary", "primary", ["_key"], unique=True, sparse=False)


def edge() -> Index:
    """Return the index over `_from` and `_to` that every edge collection has."""
    return Index("1", "edge", "edge", ["_from", "_to"], unique=False, sparse=False)


def define(definition: Any, number: int) -> Index:
    """Make an index of what a client asks for.

    Args:
        definition: The body of the request.
        number: A fresh number, for its identifier and its name.

    Raises:
        ArangoError: The definition makes no sense, or an index like this would have to do more than be fast.
    """
    if not isinstance(definition, dict):
        raise refusals.bad_parameter("expecting index definition")
    kind, fields = definition.get("type"), definition.get("fields")
    if kind == "inverted":
        raise refusals.not_implemented(f"index type {kind}")
    if kind not in _SETTINGS:
        raise refusals.bad_value("invalid index type")
    if kind == "zkd" and (definition.get("fieldValueTypes") != "double" or definition.get("unique")):
        raise refusals.not_implemented("a zkd index that is unique, or not over doubles")
    if kind == "ttl" and (not _is_number(definition.get("expireAfter")) or definition["expireAfter"] < 0):
        raise refusals.bad_value("expireAfter attribute must be a non-negative number")
    unique = bool(definition.get("unique")) and kind in SORTED_TYPES
    if not isinstance(fields, list) or not fields or not all(isinstance(name, str) and name for name in fields):
        raise refusals.bad_value("index fields must be a non-empty array of attribute names")
    if len(fields) > _MOST_FIELDS.get(kind, 32):
        raise refusals.bad_value(f"too many fields for an index of type {kind}")
    if len(set(fields)) != len(fields) or "_id" in fields:
        raise refusals.bad_value("duplicate or forbidden attribute in index fields list")
    if unique and any("[*]" in name for name in fields):
        raise refusals.not_implemented("unique index over the members of an array")
    settings = {name: definition.get(name, default) for name, default in _SETTINGS[kind].items()}
    if kind in SORTED_TYPES and definition.get("storedValues"):
        settings["storedValues"] = definition["storedValues"]
    name = definition.get("name") or f"idx_{number}"
    sparse = bool(definition.get("sparse")) if kind in SORTED_TYPES else kind != "zkd"
    return Index(str(number), name, kind, fields, unique=unique, sparse=sparse, settings=settings)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def value_at(document: Document, path: str) -> Any:
    """Return what a document has at a path of attribute names, None if there is nothing."""
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
