"""A FOR over a collection whose FILTER is a range of an index: the documents of the range, and no look at the others.

The bounds may change from row to row, as those of an outer FOR do. Without such an index the server looks at all
documents, and so does `pipeline`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from cdp_sandbox.arango.aql.values import sort_key

if TYPE_CHECKING:
    from cdp_sandbox.arango.aql.compiling import Expressions
    from cdp_sandbox.arango.aql.nodes import Node
    from cdp_sandbox.arango.aql.operators import Closure, Frame

# How a bound cuts the sorted values: whether it is the lower one, and on which side of equal values it lies.
_CUTS = {
    ">=": (True, bisect_left),
    ">": (True, bisect_right),
    "<": (False, bisect_left),
    "<=": (False, bisect_right),
}


def range_scan(
    expressions: Expressions, name: str, source: Node, conditions: list[Node]
) -> Callable[[Frame, Iterator[None]], Iterator[None]] | None:
    """Returns the stage for a FOR and its FILTER, None unless an index serves the filter.

    Args:
        expressions: what compiles the query.
        name: the variable of the FOR.
        source: its collection.
        conditions: those of the filter, which must all hold.
    """
    context, collection = expressions.context, expressions.collection(source)
    cuts = [_cut(condition, name) for condition in conditions]
    attributes = {cut[0] for cut in cuts if cut}
    if collection is None or None in cuts or len(attributes) != 1:
        return None
    (attribute,) = attributes
    if not any(
        index["type"] == "persistent" and not index["sparse"] and index["fields"][0] == attribute
        for index in context.source.indexes(collection)
    ):
        return None
    bounds: list[tuple[str, Closure]] = [(cut[1], expressions.expression(cut[2])) for cut in cuts if cut]
    slot = expressions.declare(name)

    def stage(frame: Frame, rows: Iterator[None]) -> Iterator[None]:
        for _ in rows:
            keys, documents = context.in_order(collection, attribute)
            begin, end = 0, len(keys)
            for symbol, bound in bounds:
                is_lower, bisect = _CUTS[symbol]
                at = bisect(keys, sort_key(bound(frame)))
                begin, end = (max(begin, at), end) if is_lower else (begin, min(end, at))
            found = documents[begin:end]
            if context.shuffle is not None:
                context.shuffle.shuffle(found)
            context.scanned_index += len(found)
            for frame[slot] in found:
                yield

    return stage


def _cut(condition: Node, name: str) -> tuple[str, str, Node] | None:
    """Attribute, symbol and bound of a condition that compares an attribute of the variable with something else."""
    if condition[0] != "binary" or condition[1] not in _CUTS:
        return None
    _, symbol, left, right = condition
    if left[:2] != ("access", ("variable", name)) or len(left[2]) != 1 or left[2][0][0] != "attribute":
        return None
    return (left[2][0][1], symbol, right) if not _mentions(right, name) else None


def _mentions(node: Any, name: str) -> bool:
    return isinstance(node, tuple | list) and (
        node == ("variable", name) or any(_mentions(each, name) for each in node)
    )
