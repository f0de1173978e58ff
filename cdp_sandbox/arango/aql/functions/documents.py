"""Functions over objects and documents."""

# ruff: noqa: D103 - the functions are ArangoDB's, and its manual documents them under these names.

from __future__ import annotations

import json
from typing import Any

from cdp_sandbox.arango.aql.collation import collation_key
from cdp_sandbox.arango.aql.context import Context
from cdp_sandbox.arango.aql.functions.arrays import in_any_order
from cdp_sandbox.arango.aql.functions.dates import iso
from cdp_sandbox.arango.aql.functions.registry import MANY, aql
from cdp_sandbox.arango.aql.values import (
    MAX_INT,
    equal,
    is_number,
    normal,
    number_text,
    to_bool,
    to_json,
    to_string,
)
from cdp_sandbox.arango.errors import ArangoError, ErrorNumber, not_implemented

_REVISION_DIGITS = {
    char: value for value, char in enumerate("-_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
}


@aql(least=2)
def has(_context: Context, value: Any, name: Any) -> bool:
    return isinstance(value, dict) and to_string(name) in value


@aql("ATTRIBUTES", "KEYS", most=3)
def attributes(context: Context, value: Any, no_internal: Any = False, sort: Any = False) -> Any:
    if not isinstance(value, dict):
        return context.invalid_argument("ATTRIBUTES")
    names = [name for name in value if not (to_bool(no_internal) and name.startswith("_"))]
    return sorted(names, key=collation_key) if to_bool(sort) else in_any_order(names, "ATTRIBUTES")


@aql(most=2)
def values(context: Context, value: Any, no_internal: Any = False) -> Any:
    if not isinstance(value, dict):
        return context.invalid_argument("VALUES")
    return [item for name, item in value.items() if not (to_bool(no_internal) and name.startswith("_"))]


def _names(context: Context, function: str, arguments: tuple[Any, ...]) -> set[str]:
    names: set[str] = set()
    for argument in arguments:
        if isinstance(argument, str):
            names.add(argument)
        elif is_number(argument):
            names.add(number_text(float(argument)))
        elif isinstance(argument, list):
            for name in argument:
                if isinstance(name, str):
                    names.add(name)
                else:
                    context.invalid_argument(function)
    return names


def _pick(value: dict[str, Any], names: set[str], *, keep: bool, deep: bool) -> dict[str, Any]:
    return {
        name: _pick(item, names, keep=keep, deep=True) if deep and isinstance(item, dict) else item
        for name, item in sorted(value.items())
        if (name in names) is keep
    }


def _picker(name: str, *, keep: bool, deep: bool) -> Any:
    @aql(name, least=2, most=MANY)
    def pick(context: Context, value: Any, *arguments: Any) -> Any:
        if not isinstance(value, dict):
            return context.invalid_argument(name)
        return _pick(value, _names(context, name, arguments), keep=keep, deep=deep)

    return pick


keep = _picker("KEEP", keep=True, deep=False)
keep_recursive = _picker("KEEP_RECURSIVE", keep=True, deep=True)
unset = _picker("UNSET", keep=False, deep=False)
unset_recursive = _picker("UNSET_RECURSIVE", keep=False, deep=True)


def _merge(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    merged = dict(left)
    for name, item in right.items():
        known = left.get(name)
        merged[name] = _merge(known, item) if isinstance(known, dict) and isinstance(item, dict) else item
    return merged


def _merger(name: str, *, deep: bool) -> Any:
    @aql(name, most=MANY)
    def merge(context: Context, *objects: Any) -> Any:
        parts = objects[0] if len(objects) == 1 and isinstance(objects[0], list) else objects
        merged: dict[str, Any] = {}
        for part in parts:
            if not isinstance(part, dict):
                return context.invalid_argument(name)
            merged = _merge(merged, part) if deep else merged | part
        return merged

    return merge


merge = _merger("MERGE", deep=False)
merge_recursive = _merger("MERGE_RECURSIVE", deep=True)


@aql("ZIP", least=2)
def zip_(context: Context, names: Any, items: Any) -> Any:
    if not isinstance(names, list) or not isinstance(items, list) or len(names) != len(items):
        return context.invalid_argument("ZIP")
    result: dict[str, Any] = {}
    for name, item in zip(names, items, strict=True):
        result.setdefault(to_string(name), item)
    return result


@aql(least=2, most=3)
def matches(context: Context, document: Any, examples: Any, with_index: Any = False) -> Any:
    found = -1
    if not isinstance(document, dict):
        return False
    for at, example in enumerate(examples if isinstance(examples, list) else [examples]):
        if not isinstance(example, dict):
            context.invalid_argument("MATCHES")
        elif all(
            (item is None and name not in document) or (name in document and equal(document[name], item))
            for name, item in example.items()
        ):
            found = at
            break
    return found if to_bool(with_index) else found >= 0


@aql(least=2, most=3)
def translate(context: Context, value: Any, lookup: Any, *default: Any) -> Any:
    if not isinstance(lookup, dict):
        return context.invalid_argument("TRANSLATE")
    return lookup.get(to_string(value), default[0] if default else value)


@aql()
def parse_identifier(context: Context, value: Any) -> Any:
    identifier = value.get("_id") if isinstance(value, dict) else value
    if not isinstance(identifier, str) or identifier.count("/") != 1:
        return context.invalid_argument("PARSE_IDENTIFIER")
    collection, _, key = identifier.partition("/")
    return {"collection": collection, "key": key}


@aql(least=2, takes_collections=True)
def is_same_collection(context: Context, left: Any, right: Any) -> Any:
    names = []
    for value in (left, right):
        identifier = value.get("_id") if isinstance(value, dict) else value
        names.append(identifier.partition("/")[0] if isinstance(identifier, str) else "")
    return names[0] == names[1] if all(names) else context.invalid_argument("IS_SAME_COLLECTION")


@aql(most=2, reads=True, takes_collections=True)
def document(context: Context, first: Any, *second: Any) -> Any:
    if not second:
        return _look_up(context, "", first)
    if not isinstance(first, str):
        return context.invalid_argument("DOCUMENT")
    return _look_up(context, first, second[0])


def _look_up(context: Context, collection: str, wanted: Any) -> Any:
    if isinstance(wanted, list):
        found = [_look_up(context, collection, item) for item in wanted if isinstance(item, str)]
        return [item for item in found if item is not None]
    if not isinstance(wanted, str):
        return None
    name, slash, key = wanted.partition("/")
    if not slash:
        if not collection:
            msg = "DOCUMENT() of a key without its collection"
            raise not_implemented(msg)
        name, key = collection, wanted
    if collection and name != collection:
        return None
    try:
        return context.source.document(f"{name}/{key}")
    except ArangoError as error:
        if error.number in (ErrorNumber.COLLECTION_NOT_FOUND, ErrorNumber.DOCUMENT_NOT_FOUND):
            return None
        raise


@aql(reads=True, takes_collections=True)
def collection_count(context: Context, name: Any) -> int:
    if not isinstance(name, str):
        message = "invalid argument type in call to function 'COLLECTION_COUNT()'"
        raise ArangoError(400, ErrorNumber.FUNCTION_ARGUMENT_TYPE_MISMATCH, message)
    return context.source.count(name)


@aql()
def decode_rev(context: Context, revision: Any) -> Any:
    if not isinstance(revision, str) or not revision or any(char not in _REVISION_DIGITS for char in revision):
        return context.invalid_argument("DECODE_REV")
    stamp = 0
    for char in revision:
        stamp = stamp * 64 + _REVISION_DIGITS[char]
    if len(revision) > 11 or stamp >= 2**63:
        msg = f"DECODE_REV() of {revision[:20]!r}"
        raise not_implemented(msg)
    return {"date": iso(stamp >> 20), "count": stamp & (2**20 - 1)}


@aql()
def json_stringify(_context: Context, value: Any) -> str:
    return to_json(value)


@aql()
def json_parse(context: Context, text: Any) -> Any:
    if not isinstance(text, str):
        return context.invalid_argument("JSON_PARSE")
    if "\\u" in text or "\\/" in text:
        msg = "JSON_PARSE() of text with unusual escapes"
        raise not_implemented(msg)
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_int, parse_float=_float
        )
    except (ValueError, RecursionError):
        return context.invalid_argument("JSON_PARSE")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        msg = "JSON_PARSE() of an object that names an attribute twice"
        raise not_implemented(msg)
    return dict(pairs)


def _no_constant(text: str) -> None:
    raise ValueError(text)


def _int(text: str) -> float | int | None:
    return int(text) if -MAX_INT <= int(text) <= MAX_INT else float(text)


def _float(text: str) -> float | int | None:
    number = normal(float(text))
    if number is None:
        raise ValueError(text)
    return number
