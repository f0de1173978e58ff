"""Distances on the sphere, and what is near a point. The server makes scans of a geo index of NEAR() and WITHIN()."""

# ruff: noqa: D103 - the functions are ArangoDB's, and its manual documents them under these names.

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from cdp_sandbox.arango.aql.context import Context
from cdp_sandbox.arango.aql.functions.registry import aql
from cdp_sandbox.arango.aql.values import is_number, normal
from cdp_sandbox.arango.errors import ArangoError, ErrorNumber, not_implemented

_EARTH_RADIUS_METERS = 6_371_000.0
_NEAR_LIMIT = 100


@aql(least=4)
def distance(context: Context, *coordinates: Any) -> Any:
    if not all(is_number(value) for value in coordinates):
        return context.invalid_argument("DISTANCE")
    return normal(_haversine(*coordinates))


@aql("NEAR", least=3, most=5, reads=True, takes_collections=True)
def near(  # noqa: PLR0917 - the arguments that AQL has
    context: Context, collection: Any, latitude: Any, longitude: Any, limit: Any = None, name: Any = None
) -> Any:
    found = _by_distance(context, "NEAR", collection, latitude, longitude)
    if limit is None:
        limit = _NEAR_LIMIT
    if type(limit) is not int or limit < 0:
        raise ArangoError(400, ErrorNumber.NUMBER_OUT_OF_RANGE, "number out of range")
    return _named(found[:limit], name)


@aql("WITHIN", least=4, most=5, reads=True, takes_collections=True)
def within(  # noqa: PLR0917 - the arguments that AQL has
    context: Context, collection: Any, latitude: Any, longitude: Any, radius: Any, name: Any = None
) -> Any:
    found = _by_distance(context, "WITHIN", collection, latitude, longitude)
    if not is_number(radius):
        return context.invalid_argument("WITHIN")
    return _named([item for item in found if item[0] <= radius], name)


def _by_distance(context: Context, function: str, collection: Any, latitude: Any, longitude: Any) -> list[Any]:
    """Returns the distances in metres and the documents that have coordinates, the nearest first."""
    if not isinstance(collection, str) or not is_number(latitude) or not is_number(longitude):
        msg = f"{function}() with arguments of these types"
        raise not_implemented(msg)
    documents = context.scan(collection)
    index = next((one for one in context.source.indexes(collection) if one["type"] == "geo"), None)
    if index is None:
        message = f"no suitable geo index found for geo restriction on '{collection}'"
        raise ArangoError(404, ErrorNumber.GEO_INDEX_MISSING, message)
    if index["geoJson"] or any("." in name for name in index["fields"]):
        msg = f"{function}() with an index like this"
        raise not_implemented(msg)
    located = list(_located(documents, index["fields"]))
    found = [(_haversine(*point, latitude, longitude), document) for point, document in located]
    return sorted(found, key=lambda item: item[0])


def _located(documents: Any, fields: list[str]) -> Iterator[tuple[tuple[float, float], dict[str, Any]]]:
    for document in documents:
        point = [document.get(name) for name in fields] if len(fields) == 2 else document.get(fields[0])
        if isinstance(point, list) and len(point) >= 2 and all(is_number(value) for value in point[:2]):
            latitude, longitude = point[:2]
            if abs(latitude) <= 90 and abs(longitude) <= 180:
                yield (latitude, longitude), document


def _named(found: list[tuple[float, dict[str, Any]]], name: Any) -> list[dict[str, Any]]:
    if isinstance(name, str):
        return [{**document, name: normal(meters)} for meters, document in found]
    return [document for _, document in found]


def _haversine(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    first, second = math.radians(latitude), math.radians(other_latitude)
    across, along = math.radians(other_latitude - latitude), math.radians(other_longitude - longitude)
    a = math.sin(across / 2) ** 2 + math.cos(first) * math.cos(second) * math.sin(along / 2) ** 2
    return _EARTH_RADIUS_METERS * 2 * math.atan2(math.sqrt(a), math.sqrt(1 - a))
