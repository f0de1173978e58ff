"""What operators and accesses do: closures made from closures.

A closure takes the *frame*, a list with one slot for each variable of the query, and returns a value. Nothing here
knows the tree of a query.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from cdp_sandbox.arango.aql.collation import collation_key
from cdp_sandbox.arango.aql.context import Context
from cdp_sandbox.arango.aql.values import (
    EXACT,
    Members,
    compare,
    equal,
    is_number,
    normal,
    to_bool,
    to_double,
    to_int,
)
from cdp_sandbox.arango.errors import ErrorNumber

Frame = list[Any]
Closure = Callable[[Frame], Any]

_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_EXACT_INT = {"+": operator.add, "-": operator.sub, "*": operator.mul}
ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "%": math.fmod}
"""Arithmetic operators, over doubles."""


class Constant:
    """A closure whose value is known before the query runs."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, _frame: Frame) -> Any:
        """Returns the value."""
        return self.value


def constants(closures: list[Closure]) -> list[Any] | None:
    """Returns the values of the closures if all are constants."""
    values = [closure.value for closure in closures if isinstance(closure, Constant)]
    return values if len(values) == len(closures) else None


def arithmetic(context: Context, symbol: str, left: Closure, right: Closure) -> Closure:
    """Returns a closure for an arithmetic operator. It computes in doubles, and in integers only between literals."""
    if (both := constants([left, right])) is not None:
        return Constant(_compute(context, symbol, *both, folded=True))
    exact = _EXACT_INT.get(symbol)

    def run(frame: Frame) -> Any:
        a, b = left(frame), right(frame)
        if exact is not None and type(a) is int and type(b) is int:
            result = exact(a, b)
            if -EXACT < result < EXACT and -EXACT < a < EXACT and -EXACT < b < EXACT:
                return result
        return _compute(context, symbol, a, b)

    return run


def _compute(context: Context, symbol: str, left: Any, right: Any, *, folded: bool = False) -> Any:
    if folded and symbol in _EXACT_INT and type(left) is int and type(right) is int:
        result = _EXACT_INT[symbol](left, right)
        if abs(result) < 2**63:
            return result
    a, b = to_double(left), to_double(right)
    if b == 0 and symbol in "/%":
        if folded:
            context.warn(ErrorNumber.DIVISION_BY_ZERO, "division by zero")
        else:
            context.warn_in(symbol, ErrorNumber.DIVISION_BY_ZERO)
        return None
    try:
        return normal(ARITHMETIC[symbol](a, b))
    except (OverflowError, ValueError):
        return None


def either(left: Closure, right: Closure) -> Closure:
    """Returns a closure for ``OR``: the first operand that is true, else the second."""
    return lambda frame: value if to_bool(value := left(frame)) else right(frame)


def negative(value: Any) -> Any:
    """Returns ``-value``."""
    if type(value) is int:
        return -value
    return normal(-to_double(value))


def positive(value: Any) -> Any:
    """Returns ``+value``."""
    return value if is_number(value) else normal(to_double(value))


def attribute(value: Closure, name: str) -> Closure:
    """Returns a closure for ``value.name``: null where there is none."""

    def run(frame: Frame) -> Any:
        found = value(frame)
        return found.get(name) if type(found) is dict else None

    return run


def index(value: Closure, index: Closure) -> Closure:
    """Returns a closure for ``value[index]``, of arrays (from the end, if negative) and objects."""

    def run(frame: Frame) -> Any:
        found, key = value(frame), index(frame)
        if type(found) is list:
            if not is_number(key) and not isinstance(key, str):
                return None
            if isinstance(key, str) and not key.lstrip(" \t\n\v\f\r").lstrip("+-")[:1].isdigit():
                return None
            at = to_int(key)
            return found[at] if -len(found) <= at < len(found) else None
        if type(found) is dict:
            if isinstance(key, str):
                return found.get(key)
            return found.get(str(to_int(key))) if is_number(key) else None
        return None

    return run


def comparison(symbol: str, left: Closure, right: Closure) -> Closure:
    """Returns a closure for a comparison operator."""
    if symbol in ("IN", "NOT IN"):
        return _membership(left, right, negated=symbol == "NOT IN")
    if symbol in _ORDER:
        ordered = _ORDER[symbol]
        if isinstance(right, Constant) and isinstance(right.value, str):
            text, key = right.value, collation_key(right.value)

            def with_text(frame: Frame) -> bool:
                value = left(frame)
                if type(value) is str:
                    return ordered(collation_key(value), key)
                return ordered(compare(value, text), 0)

            return with_text
        return lambda frame: ordered(compare(left(frame), right(frame)), 0)
    if isinstance(right, Constant) and isinstance(right.value, str):
        text = right.value
        return (lambda frame: left(frame) == text) if symbol == "==" else (lambda frame: left(frame) != text)
    if symbol == "==":
        return lambda frame: equal(left(frame), right(frame))
    return lambda frame: not equal(left(frame), right(frame))


def _membership(left: Closure, right: Closure, *, negated: bool) -> Closure:
    # The right side is mostly the same list for row after row: prepare it once.
    known: Any = None
    members = Members(())

    def run(frame: Frame) -> bool:
        nonlocal known, members
        value, values = left(frame), right(frame)
        if not isinstance(values, list):
            return False
        if values is not known:
            if len(values) < 4:
                return any(equal(value, item) for item in values) is not negated
            known, members = values, Members(values)
        return (value in members) is not negated

    return run
