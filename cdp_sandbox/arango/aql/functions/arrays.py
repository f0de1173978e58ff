"""Functions over arrays."""

# ruff: noqa: D103 - the functions are ArangoDB's, and its manual documents them under these names.

from __future__ import annotations

from typing import Any

from cdp_sandbox.arango.aql.context import Context
from cdp_sandbox.arango.aql.functions.registry import MANY, aql
from cdp_sandbox.arango.aql.values import (
    equal,
    hash_key,
    is_number,
    normal,
    number_text,
    sort_key,
    to_bool,
    to_double,
    to_int,
    unique,
)
from cdp_sandbox.arango.errors import ArangoError, ErrorNumber, not_implemented

_ARRAY = ErrorNumber.ARRAY_EXPECTED
_MOST_PADDED = 10_000_000


def in_any_order(values: list[Any], function: str) -> list[Any]:
    """Returns a result whose order is an accident of the server's hash table, if it has no order to get wrong."""
    if len(values) > 1:
        msg = f"the order of what {function}() returns"
        raise not_implemented(msg)
    return values


@aql("LENGTH", "COUNT")
def length(_context: Context, value: Any) -> int:
    if isinstance(value, str | list | dict):
        return len(value)
    if is_number(value):
        return len(number_text(float(value)))
    return int(value is True)


@aql()
def first(context: Context, values: Any) -> Any:
    if not isinstance(values, list):
        return context.warn_in("FIRST", _ARRAY)
    return values[0] if values else None


@aql()
def last(context: Context, values: Any) -> Any:
    if not isinstance(values, list):
        return context.warn_in("LAST", _ARRAY)
    return values[-1] if values else None


@aql(least=2)
def nth(context: Context, values: Any, position: Any) -> Any:
    if not isinstance(values, list):
        return context.warn_in("NTH", _ARRAY)
    index = to_int(position) if values else -1
    return values[index] if 0 <= index < len(values) else None


@aql(least=2, most=3)
def push(context: Context, values: Any, value: Any, only_new: Any = False) -> Any:
    if values is None:
        return [value]
    if not isinstance(values, list):
        return context.invalid_argument("PUSH")
    if to_bool(only_new) and any(equal(value, item) for item in values):
        return values
    return [*values, value]


@aql()
def pop(context: Context, values: Any) -> Any:
    if values is None:
        return None
    return values[:-1] if isinstance(values, list) else context.invalid_argument("POP")


@aql()
def shift(context: Context, values: Any) -> Any:
    if values is None:
        return None
    return values[1:] if isinstance(values, list) else context.invalid_argument("SHIFT")


@aql(least=2, most=3)
def unshift(context: Context, values: Any, value: Any, only_new: Any = False) -> Any:
    if values is not None and not isinstance(values, list):
        return context.invalid_argument("UNSHIFT")
    if values and to_bool(only_new) and any(equal(value, item) for item in values):
        return values
    return [value, *(values or [])]


@aql(least=2, most=3)
def append(context: Context, values: Any, more: Any, only_new: Any = False) -> Any:
    if more is None or more == [] or values is None:
        kept = more if values is None and more is not None else values
        if to_bool(only_new) and isinstance(kept, list) and len(unique(kept)) < len(kept):
            # Releases differ in whether the duplicates of one array stay.
            msg = "APPEND() of one array, unique, that has duplicates itself"
            raise not_implemented(msg)
        return kept
    if not isinstance(values, list):
        return context.invalid_argument("APPEND")
    joined = [*values, *more] if isinstance(more, list) else [*values, more]
    return unique(joined) if to_bool(only_new) else joined


@aql(least=2, most=MANY)
def union(context: Context, *arrays: Any) -> Any:
    if not all(isinstance(values, list) for values in arrays):
        return context.invalid_argument("UNION")
    return [value for values in arrays for value in values]


@aql(least=2, most=MANY)
def union_distinct(context: Context, *arrays: Any) -> Any:
    if not all(isinstance(values, list) for values in arrays):
        return context.invalid_argument("UNION_DISTINCT")
    return in_any_order(unique(value for values in arrays for value in values), "UNION_DISTINCT")


@aql(least=2, most=MANY)
def intersection(context: Context, *arrays: Any) -> Any:
    if not all(isinstance(values, list) for values in arrays):
        return context.warn_in("INTERSECTION", _ARRAY)
    common = unique(arrays[0])
    for values in arrays[1:]:
        keys = set(map(hash_key, values))
        common = [value for value in common if hash_key(value) in keys]
    return in_any_order(common, "INTERSECTION")


@aql(least=2, most=MANY)
def minus(context: Context, *arrays: Any) -> Any:
    if not all(isinstance(values, list) for values in arrays):
        return context.invalid_argument("MINUS")
    removed = {hash_key(value) for values in arrays[1:] for value in values}
    return in_any_order([value for value in unique(arrays[0]) if hash_key(value) not in removed], "MINUS")


@aql(least=2, most=MANY)
def outersection(context: Context, *arrays: Any) -> Any:
    if not all(isinstance(values, list) for values in arrays):
        return context.warn_in("OUTERSECTION", _ARRAY)
    seen: dict[Any, list[Any]] = {}
    for values in arrays:
        for value in values:
            seen.setdefault(hash_key(value), []).append(value)
    return in_any_order([found[0] for found in seen.values() if len(found) == 1], "OUTERSECTION")


@aql(least=2)
def jaccard(context: Context, left: Any, right: Any) -> Any:
    if not isinstance(left, list) or not isinstance(right, list):
        return context.warn_in("JACCARD", _ARRAY)
    a, b = set(map(hash_key, left)), set(map(hash_key, right))
    return normal(len(a & b) / len(a | b)) if a or b else 1


@aql("UNIQUE")
def unique_(context: Context, values: Any) -> Any:
    return unique(values) if isinstance(values, list) else context.warn_in("UNIQUE", _ARRAY)


def _sorted_runs(values: list[Any]) -> list[list[Any]]:
    """Returns the values in their order, those that compare as equal together."""
    runs: list[list[Any]] = []
    previous = None
    for key, _, value in sorted((sort_key(value), index, value) for index, value in enumerate(values)):
        if runs and key == previous:
            runs[-1].append(value)
        else:
            runs.append([value])
        previous = key
    return runs


@aql("SORTED")
def sorted_(context: Context, values: Any) -> Any:
    if not isinstance(values, list):
        return context.warn_in("SORTED", _ARRAY)
    return [run[0] for run in _sorted_runs(values) for _ in run]


@aql()
def sorted_unique(context: Context, values: Any) -> Any:
    return sorted_set(values) if isinstance(values, list) else context.warn_in("SORTED_UNIQUE", _ARRAY)


def sorted_set(values: list[Any]) -> list[Any]:
    """Returns the values in their order, each once."""
    return [run[0] for run in _sorted_runs(values)]


@aql(most=2)
def flatten(context: Context, values: Any, *depth: Any) -> Any:
    if not isinstance(values, list):
        return context.warn_in("FLATTEN", _ARRAY)
    levels = to_double(depth[0]) if depth else 1
    return flat(values, max(1, int(levels)))


def flat(values: list[Any], levels: int) -> list[Any]:
    """Returns the values with so many levels of arrays within opened."""
    result: list[Any] = []
    for value in values:
        if isinstance(value, list) and levels > 0:
            result.extend(flat(value, levels - 1))
        else:
            result.append(value)
    return result


@aql("POSITION", "CONTAINS_ARRAY", least=2, most=3)
def position(context: Context, values: Any, value: Any, with_index: Any = False) -> Any:
    if not isinstance(values, list):
        return context.warn_in("POSITION", _ARRAY)
    index = next((at for at, item in enumerate(values) if equal(value, item)), -1)
    return index if to_bool(with_index) else index >= 0


@aql("SLICE", least=2, most=3)
def slice_(context: Context, values: Any, start: Any, count: Any = None) -> Any:
    if not isinstance(values, list):
        return context.invalid_argument("SLICE")
    low = to_int(start)
    low = low if low >= 0 else max(0, len(values) + low)
    if count is None:
        return values[low:]
    high = to_int(count)
    return values[low : low + high if high >= 0 else max(0, len(values) + high)]


@aql()
def reverse(context: Context, value: Any) -> Any:
    if isinstance(value, list):
        return value[::-1]
    if not isinstance(value, str):
        return context.warn_in("REVERSE", _ARRAY)
    if max(value, default="") > "\uffff":
        msg = "REVERSE() of text with characters beyond U+FFFF"
        raise not_implemented(msg)
    return value[::-1]


@aql(least=2, most=3)
def remove_value(context: Context, values: Any, value: Any, limit: Any = None) -> Any:
    if values is None:
        return []
    if not isinstance(values, list):
        return context.invalid_argument("REMOVE_VALUE")
    left = -1 if limit is None else to_int(limit)
    kept = []
    for item in values:
        if left != 0 and equal(value, item):
            left -= 1
        else:
            kept.append(item)
    return kept


@aql(least=2)
def remove_values(context: Context, values: Any, removed: Any) -> Any:
    if removed is None:
        return values
    if values is None:
        return []
    if not isinstance(values, list) or not isinstance(removed, list):
        return context.invalid_argument("REMOVE_VALUES")
    return [value for value in values if not any(equal(value, item) for item in removed)]


@aql(least=2)
def remove_nth(context: Context, values: Any, position: Any) -> Any:
    if values is None:
        return []
    if not isinstance(values, list):
        return context.invalid_argument("REMOVE_NTH")
    index, count = to_double(position), len(values)
    if not -count <= index < count:
        return values
    target = int(index + count if index < 0 else index)
    return [value for at, value in enumerate(values) if at != target]


@aql(least=3, most=4)
def replace_nth(context: Context, values: Any, position: Any, value: Any, *padding: Any) -> Any:
    if not isinstance(values, list):
        return context.invalid_argument("REPLACE_NTH")
    index = to_int(position)
    index = index if index >= 0 else max(0, len(values) + index)
    if position is None or (len(values) < index and not padding):
        message = "invalid argument type in call to function 'REPLACE_NTH()'"
        raise ArangoError(400, ErrorNumber.FUNCTION_ARGUMENT_TYPE_MISMATCH, message)
    if index > _MOST_PADDED:
        msg = "REPLACE_NTH() with more than ten million elements of padding"
        raise not_implemented(msg)
    padded = [*values, *list(padding) * (index - len(values))]
    return [*padded[:index], value, *padded[index + 1 :]]


@aql(least=2, most=MANY)
def interleave(context: Context, *arrays: Any) -> Any:
    if not all(isinstance(values, list) for values in arrays):
        return context.warn_in("INTERLEAVE", _ARRAY)
    longest = max(map(len, arrays))
    return [values[at] for at in range(longest) for values in arrays if at < len(values)]


@aql(least=5)
def in_range(context: Context, value: Any, low: Any, high: Any, *with_ends: Any) -> Any:
    with_low, with_high = with_ends
    if not isinstance(with_low, bool) or not isinstance(with_high, bool):
        return context.invalid_argument("IN_RANGE")
    key, bottom = sort_key(value), sort_key(low)
    if not (bottom < key or (with_low and bottom == key)):
        return False
    top = sort_key(high)
    return key < top or (with_high and key == top)
