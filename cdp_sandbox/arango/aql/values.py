"""AQL values: types and their order, equality, casts and text forms.

Values are what JSON gives: ``None``, ``bool``, ``int``, ``float``, ``str``, ``list``, ``dict``. They are never changed
in place. Belongs here: everything that holds for values as such; what a single function does with them lives in
``functions``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from json.encoder import encode_basestring
from typing import Any

from cdp_sandbox.arango.aql.collation import collation_key
from cdp_sandbox.arango.errors import not_implemented

EXACT = 2**53
"""Integers below this are the same as doubles."""
MAX_INT = 2**63 - 1

_RANK = {type(None): 0, bool: 1, int: 2, float: 2, str: 3, list: 4, dict: 5}
_NAMES = ("null", "bool", "number", "string", "array", "object")
_DECIMAL = re.compile(r"[ \t\n\v\f\r]*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[ \t\r\n\f]*", re.ASCII)
_NAMED_NUMBER = re.compile(r"\s*[+-]?(?:0x[0-9a-f.]|inf|nan)", re.IGNORECASE)
_INTEGER = re.compile(r"[ \t\n\v\f\r]*([+-]?\d+)", re.ASCII)


def type_name(value: Any) -> str:
    """Returns the name of the type, as TYPENAME() gives it."""
    return _NAMES[_RANK[type(value)]]


def is_number(value: Any) -> bool:
    """Says whether ``value`` is a number (a bool is none)."""
    return type(value) is int or type(value) is float


class _Descending:
    """A string that sorts the other way round."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __lt__(self, other: _Descending) -> bool:
        return other.text < self.text


def sort_key(value: Any) -> tuple[int, Any]:
    """Returns a key whose order is the order of AQL: null, bool, number, string, array, object.

    A missing element or attribute counts as null. Hence nulls at the end of an array and in an object leave no trace,
    and of two objects the one that has the smaller attribute name is the greater.
    """
    if type(value) is str:
        return (3, collation_key(value))
    rank = _RANK[type(value)]
    if rank < 3:
        return (rank, value if rank else 0)
    if rank == 4:
        keys = [sort_key(item) for item in value]
        while keys and keys[-1][0] == 0:
            keys.pop()
        return (4, tuple(keys))
    named = sorted((collation_key(name), item) for name, item in value.items() if item is not None) if value else []
    return (5, tuple((_Descending(name), sort_key(item)) for name, item in named))


def sort_keys(values: list[Any]) -> list[Any]:
    """Returns sort keys that are good for comparing these values with each other: bare ones, if all are text."""
    if all(type(value) is str for value in values):
        return list(map(collation_key, values))
    return list(map(sort_key, values))


def compare(left: Any, right: Any) -> int:
    """Returns -1, 0 or 1: the total order of AQL."""
    if type(left) is str and type(right) is str and left == right:
        return 0
    if is_number(left) and is_number(right):
        if type(left) is not type(right):
            left, right = float(left), float(right)
        return (left > right) - (left < right)
    a, b = sort_key(left), sort_key(right)
    return 0 if a == b else -1 if a < b else 1


def equal(left: Any, right: Any) -> bool:
    """Says whether two values are equal. Strings by code point, missing attributes as null."""
    kind = type(left)
    if kind is not type(right):
        return is_number(left) and is_number(right) and float(left) == float(right)
    if kind is list:
        short, long = (left, right) if len(left) <= len(right) else (right, left)
        return all(map(equal, short, long)) and all(item is None for item in long[len(short) :])
    if kind is dict:
        return all(equal(left.get(name), right.get(name)) for name in left.keys() | right.keys())
    return left == right


def hash_key(value: Any) -> Any:
    """Returns something hashable that is equal for equal values; a missing attribute is *not* a null one here.

    This is how the server finds duplicates (UNIQUE, DISTINCT, COUNT_DISTINCT): by a hash over what is there.
    """
    kind = type(value)
    if kind is bool:
        return ("bool", value)
    if kind is list:
        return ("array", tuple(map(hash_key, value)))
    if kind is dict:
        return ("object", frozenset((name, hash_key(item)) for name, item in value.items()))
    return value


def unique(values: Iterable[Any]) -> list[Any]:
    """Returns the distinct values in the order of their first appearance."""
    found: dict[Any, Any] = {}
    for value in values:
        found.setdefault(hash_key(value), value)
    return list(found.values())


class Members:
    """The elements of one array, prepared for many look-ups by ``IN``."""

    __slots__ = ("compound", "scalars")

    def __init__(self, values: Iterable[Any]) -> None:
        self.scalars = set()
        self.compound = []
        for value in values:
            if isinstance(value, list | dict):
                self.compound.append(value)
            else:
                self.scalars.add(hash_key(value))

    def __contains__(self, value: Any) -> bool:
        kind = type(value)
        if kind is str:
            return value in self.scalars
        if kind is list or kind is dict:
            return any(equal(value, item) for item in self.compound)
        return hash_key(value) in self.scalars


def to_bool(value: Any) -> bool:
    """Casts as TO_BOOL() does: arrays and objects are true, even empty ones."""
    return bool(value) or isinstance(value, list | dict)


def to_number(value: Any) -> float | int | None:
    """Casts to a number; None where there is none to be had (arithmetic then takes 0)."""
    kind = type(value)
    if kind is int or kind is float:
        return value
    if value is None:
        return 0
    if kind is bool:
        return int(value)
    if kind is str:
        return _text_to_number(value)
    if kind is list and len(value) < 2:
        return to_number(value[0]) if value else 0
    return None


def _text_to_number(text: str) -> float | int | None:
    if not text.strip(" \t\r\n\f"):
        return 0
    if match := _DECIMAL.fullmatch(text):
        number = float(match[1])
        return None if math.isinf(number) else normal(number)
    if _NAMED_NUMBER.match(text):
        msg = f"the number in the text {text[:20]!r}"
        raise not_implemented(msg)
    return None


def to_double(value: Any) -> float:
    """Casts to a double; 0 where there is no number to be had."""
    return float(to_number(value) or 0)


def to_int(value: Any) -> int:
    """Casts to a 64-bit integer: doubles lose their fraction, text gives the digits it starts with."""
    kind = type(value)
    if kind is int:
        number = value
    elif kind is float:
        number = int(value)
    elif kind is bool:
        return int(value)
    elif kind is str:
        match = _INTEGER.match(value)
        number = int(match[1]) if match else 0
        if abs(number) > MAX_INT:
            return 0
    elif kind is list and len(value) == 1:
        return to_int(value[0])
    else:
        return 0
    if not -MAX_INT - 1 <= number <= MAX_INT:
        msg = f"the number {str(value)[:20]} as a 64-bit integer"
        raise not_implemented(msg)
    return number


def normal(number: float) -> float | int | None:
    """Returns a computed double as the server shows it: 3 for 3.0, null for infinity and NaN."""
    if isinstance(number, int):
        return number
    if math.isinf(number) or math.isnan(number):
        return None
    if number.is_integer() and abs(number) < EXACT and (number or math.copysign(1, number) > 0):
        return int(number)
    return number


def to_string(value: Any) -> str:
    """Casts as TO_STRING() does: null is empty, arrays and objects are JSON without spaces."""
    if type(value) is str:
        return value
    return "" if value is None else to_json(value)


def to_json(value: Any) -> str:
    """Returns the JSON text that the server builds inside a query."""
    kind = type(value)
    if kind is str:
        text = encode_basestring(value)
        if re.search(r"[\x00-\x07\x0b\x0e-\x1f]", value):
            msg = "JSON text with control characters"
            raise not_implemented(msg)
        return text
    if kind is int:
        return str(value)
    if kind is float:
        return number_text(value)
    if kind is list:
        return "[" + ",".join(map(to_json, value)) + "]"
    if kind is dict:
        return "{" + ",".join(f"{to_json(name)}:{to_json(item)}" for name, item in value.items()) + "}"
    return {None: "null", True: "true", False: "false"}[value]


def number_text(number: float) -> str:
    """Returns the text of a double: shortest digits, an exponent only for the very small.

    Raises:
        ArangoError: the number is so great that the text of the server is not known here.
    """
    if abs(number) >= EXACT:
        msg = f"the text of the number {number!r}"
        raise not_implemented(msg)
    sign, digits, exponent = _digits(number)
    point = len(digits) + exponent
    if exponent >= 0:
        text = digits + "0" * exponent
    elif exponent > -7 or abs(point - 1) < 4:
        text = digits[:point] + "." + digits[point:] if point > 0 else "0." + "0" * -point + digits
    else:
        mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        text = f"{mantissa}e{point - 1:+d}"
    return sign + text


def _digits(number: float) -> tuple[str, str, int]:
    """Returns sign, significant digits, and the power of ten of the last digit."""
    mantissa, _, exponent = repr(number).partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    power = int(exponent or 0) - len(fraction)
    stripped = digits.rstrip("0")
    if not stripped:
        return sign, "0", 0
    return sign, stripped, power + len(digits) - len(stripped)
