"""Arithmetic, and statistics over arrays. The server computes in doubles, one after the other; so does this."""

# ruff: noqa: D103 - the functions are ArangoDB's, and its manual documents them under these names.

from __future__ import annotations

import math
import random
from typing import Any

from cdp_sandbox.arango.aql.context import Context
from cdp_sandbox.arango.aql.functions.registry import aql
from cdp_sandbox.arango.aql.values import (
    hash_key,
    is_number,
    normal,
    sort_key,
    to_double,
    to_int,
)
from cdp_sandbox.arango.errors import ErrorNumber, not_implemented

Number = float | int | None
_MAX_RANGE = 10_000_000


@aql()
def floor(_context: Context, value: Any) -> Number:
    number = to_double(value)
    return normal(float(math.floor(number)))


@aql("RAND", least=0, reads=True)
def rand(_context: Context) -> float:
    return random.random()


@aql("CEIL")
def ceil(_context: Context, value: Any) -> Number:
    number = to_double(value)
    return normal(math.copysign(float(math.ceil(number)), number))


@aql("ROUND")
def round_(_context: Context, value: Any) -> Number:
    return normal(float(math.floor(to_double(value) + 0.5)))


@aql("ABS")
def abs_(_context: Context, value: Any) -> Number:
    return normal(abs(to_double(value)))


@aql()
def sqrt(_context: Context, value: Any) -> Number:
    number = to_double(value)
    return normal(math.sqrt(number)) if number >= 0 else None


@aql("POW", least=2)
def pow_(_context: Context, base: Any, exponent: Any) -> Number:
    try:
        return normal(math.pow(to_double(base), to_double(exponent)))
    except (OverflowError, ValueError):
        return None


@aql("PI", least=0)
def pi(_context: Context) -> float:
    return math.pi


@aql("RANGE", least=2, most=3)
def range_(context: Context, low: Any, high: Any, step: Any = None) -> list[Any] | None:
    if step is None:
        return int_range(to_int(low), to_int(high))
    value, end, width = to_double(low), to_double(high), to_double(step)
    if width == 0 or (value < end and width < 0) or (value > end and width > 0):
        return context.invalid_argument("RANGE")
    if abs((end - value) / width) > _MAX_RANGE:
        msg = "a range of more than ten million numbers"
        raise not_implemented(msg)
    result = []
    while value >= end if width < 0 else value <= end:
        result.append(normal(value))
        value += width
    return result


def int_range(low: int, high: int) -> list[Any]:
    """Returns the integers from low to high, both included, downwards if high is smaller."""
    if abs(high - low) >= _MAX_RANGE:
        msg = "a range of more than ten million numbers"
        raise not_implemented(msg)
    return list(range(low, high + 1) if low <= high else range(low, high - 1, -1))


def _numbers(values: list[Any]) -> list[float] | None:
    """Returns all but the nulls as doubles; None if something else is among them."""
    kept = [value for value in values if value is not None]
    return [float(value) for value in kept] if all(map(is_number, kept)) else None


def minimum(values: list[Any]) -> Any:
    """Returns the smallest value that is not null."""
    kept = [value for value in values if value is not None]
    return min(kept, key=sort_key) if kept else None


def maximum(values: list[Any]) -> Any:
    """Returns the greatest value."""
    return max(values, key=sort_key) if values else None


def total(values: list[Any]) -> Number:
    """Returns the sum of all numbers; null if there is something that is neither number nor null."""
    numbers = _numbers(values)
    return None if numbers is None else normal(_add(numbers))


def _add(numbers: list[float]) -> float:
    result = 0.0
    for number in numbers:
        result += number
    return result


def mean(values: list[Any]) -> Number:
    """Returns the average of all numbers; null if there is none, or something that is neither number nor null."""
    numbers = _numbers(values)
    return normal(_add(numbers) / len(numbers)) if numbers else None


def distinct_count(values: list[Any]) -> int:
    """Returns how many different values there are, null included."""
    return len(set(map(hash_key, values)))


@aql("MIN")
def min_(context: Context, values: Any) -> Any:
    return minimum(values) if isinstance(values, list) else context.warn_in("MIN", ErrorNumber.ARRAY_EXPECTED)


@aql("MAX")
def max_(context: Context, values: Any) -> Any:
    return maximum(values) if isinstance(values, list) else context.warn_in("MAX", ErrorNumber.ARRAY_EXPECTED)


@aql("SUM")
def sum_(context: Context, values: Any) -> Any:
    return total(values) if isinstance(values, list) else context.warn_in("SUM", ErrorNumber.ARRAY_EXPECTED)


@aql("AVERAGE", "AVG")
def average(context: Context, values: Any) -> Any:
    if not isinstance(values, list) or _numbers(values) is None:
        return context.warn_in("AVERAGE", ErrorNumber.ARRAY_EXPECTED)
    return mean(values)


@aql("COUNT_DISTINCT", "COUNT_UNIQUE")
def count_distinct(context: Context, values: Any) -> Any:
    if not isinstance(values, list):
        return context.warn_in("COUNT_DISTINCT", ErrorNumber.ARRAY_EXPECTED)
    return distinct_count(values)


@aql()
def product(context: Context, values: Any) -> Any:
    if not isinstance(values, list):
        return context.warn_in("PRODUCT", ErrorNumber.ARRAY_EXPECTED)
    numbers = _numbers(values)
    return None if numbers is None else normal(math.prod(numbers, start=1.0))


@aql()
def median(context: Context, values: Any) -> Any:
    if not isinstance(values, list):
        return context.warn_in("MEDIAN", ErrorNumber.ARRAY_EXPECTED)
    numbers = _numbers(values)
    if numbers is None:
        return context.warn_in("MEDIAN", ErrorNumber.INVALID_ARITHMETIC_VALUE)
    numbers.sort()
    middle = len(numbers) // 2
    if not numbers:
        return None
    return normal(numbers[middle] if len(numbers) % 2 else (numbers[middle - 1] + numbers[middle]) / 2)
