"""Type checks and casts."""

# ruff: noqa: D103 - the functions are ArangoDB's, and its manual documents them under these names.

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address
from typing import Any

from cdp_sandbox.arango.aql import values
from cdp_sandbox.arango.aql.context import Context
from cdp_sandbox.arango.aql.functions.registry import MANY, aql


@aql()
def is_null(_context: Context, value: Any) -> bool:
    return value is None


@aql()
def is_bool(_context: Context, value: Any) -> bool:
    return isinstance(value, bool)


@aql()
def is_number(_context: Context, value: Any) -> bool:
    return values.is_number(value)


@aql()
def is_string(_context: Context, value: Any) -> bool:
    return isinstance(value, str)


@aql("IS_ARRAY", "IS_LIST")
def is_array(_context: Context, value: Any) -> bool:
    return isinstance(value, list)


@aql("IS_OBJECT", "IS_DOCUMENT")
def is_object(_context: Context, value: Any) -> bool:
    return isinstance(value, dict)


@aql()
def typename(_context: Context, value: Any) -> str:
    return values.type_name(value)


@aql()
def to_number(_context: Context, value: Any) -> float | int | None:
    number = values.to_number(value)
    return 0 if number is None else number


@aql()
def to_string(_context: Context, value: Any) -> str:
    return values.to_string(value)


@aql()
def to_bool(_context: Context, value: Any) -> bool:
    return values.to_bool(value)


@aql("TO_ARRAY", "TO_LIST")
def to_array(_context: Context, value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return list(value.values())
    return [] if value is None else [value]


@aql(most=MANY)
def not_null(_context: Context, *candidates: Any) -> Any:
    return next((value for value in candidates if value is not None), None)


@aql(most=MANY)
def first_list(_context: Context, *candidates: Any) -> Any:
    return next((value for value in candidates if isinstance(value, list)), None)


@aql(most=MANY)
def first_document(_context: Context, *candidates: Any) -> Any:
    return next((value for value in candidates if isinstance(value, dict)), None)


def _address(text: Any) -> int | None:
    try:
        return int(IPv4Address(text)) if isinstance(text, str) and text.isascii() else None
    except AddressValueError:
        return None


@aql()
def is_ipv4(_context: Context, value: Any) -> bool:
    return _address(value) is not None


@aql()
def ipv4_to_number(context: Context, value: Any) -> int | None:
    number = _address(value)
    return context.invalid_argument("IPV4_TO_NUMBER") if number is None else number


@aql()
def ipv4_from_number(context: Context, value: Any) -> str | None:
    if not values.is_number(value) or not 0 <= values.to_int(value) < 2**32:
        return context.invalid_argument("IPV4_FROM_NUMBER")
    return str(IPv4Address(values.to_int(value)))
