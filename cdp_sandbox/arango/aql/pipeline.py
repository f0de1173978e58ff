"""From the statements of a query to a generator pipeline.

Each statement is a stage: a function that takes the frame and the rows of the stage before, and yields once for each
row it lets through, with the variables of that row in the frame. Stages that have to see all rows first (SORT,
COLLECT) keep copies of the frame.
"""

from __future__ import annotations

import heapq
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from cdp_sandbox.arango.aql.compiling import Expressions, Level
from cdp_sandbox.arango.aql.context import Context
from cdp_sandbox.arango.aql.functions.arrays import sorted_set
from cdp_sandbox.arango.aql.functions.numbers import distinct_count, maximum, mean, minimum, total
from cdp_sandbox.arango.aql.nodes import Node
from cdp_sandbox.arango.aql.operators import Closure, Constant, Frame
from cdp_sandbox.arango.aql.plans import Step, observed, step
from cdp_sandbox.arango.aql.ranges import range_scan
from cdp_sandbox.arango.aql.values import (
    hash_key,
    sort_key,
    sort_keys,
    to_bool,
    type_name,
    unique,
)
from cdp_sandbox.arango.errors import ArangoError, ErrorNumber, not_implemented

Rows = Iterator[None]
Stage = Callable[[Frame, Rows], Rows]


_AGGREGATES: dict[str, Callable[[list[Any]], Any]] = {
    "LENGTH": len,
    "MIN": minimum,
    "MAX": maximum,
    # Unlike the function, the aggregate of nothing is null.
    "SUM": lambda values: total(values) if values else None,
    "AVERAGE": mean,
    "UNIQUE": unique,
    "SORTED_UNIQUE": sorted_set,
    "COUNT_DISTINCT": distinct_count,
}
_AGGREGATES |= {"COUNT": len, "AVG": mean, "COUNT_UNIQUE": distinct_count}


class Pipeline(Expressions):
    """Compiles whole queries.

    Attributes:
        counting: whether to count the rows that the last LIMIT of the main query cuts off.
        full_count: rows before that LIMIT, known after the query has run.
        profiling: whether to note what each step of the main query does.
        steps: those of the main query, known after it was compiled.
    """

    counting = False
    full_count: int | None = None
    profiling = False

    def __init__(self, context: Context, binds: Mapping[str, Any]) -> None:
        super().__init__(context, binds)
        self.steps: list[Step] = []

    def query(self, tree: tuple[Node, ...]) -> Closure:
        """Returns a closure that runs a query and returns the array of its results."""
        return self._query(tree)[0]

    def subquery(self, query: tuple[Node, ...]) -> Closure:
        """Returns a closure for the array of results of a subquery."""
        run, level = self._query(query)
        if level.correlated:
            return run
        # Nothing in it changes from row to row: once is enough.
        results: list[list[Any]] = []

        def once(frame: Frame) -> list[Any]:
            if not results:
                results.append(run(frame))
            return results[0]

        return once

    def _query(self, tree: tuple[Node, ...]) -> tuple[Closure, Level]:
        level = Level(self.slots)
        self.levels.append(level)
        *statements, (_, distinct, returned) = tree
        limits = [at for at, node in enumerate(statements) if node[0] == "limit"]
        counted = limits[-1] if limits and self.counting and len(self.levels) == 1 else None
        stages: list[Stage] = []
        looked_up = -1
        for at, node in enumerate(statements):
            if at == looked_up:
                continue
            kind, *parts = node
            collection = self.collection(node[2] if kind == "for" else node[4]) if kind in ("for", "change") else None
            if kind == "for" and (keys := self._keys(*parts, statements[at + 1 : at + 2])) is not None:
                stage = self._look_up(*parts, keys)
                looked_up = at + 1
            elif kind == "for" and (fields := self._index_fields(*parts, statements[at + 1 :])):
                stage = self._index_scan(*parts, statements[at + 1][1], fields)
                looked_up = at + 1
            elif kind == "for" and (ranged := range_scan(self, *parts, _filtered(statements[at + 1 : at + 2]))):
                stage = ranged
                looked_up = at + 1
            elif kind == "sort":
                stage = self._sort(parts[0], statements[at + 1 : at + 2], counted=counted == at + 1)
            elif kind == "limit":
                stage = self._limit(*parts, counted=counted == at)
            elif kind == "collect":
                stage = self._collect(*parts, before=statements[:at])
            else:
                stage = getattr(self, f"_{kind}_stage")(*parts)
            if len(self.levels) == 1:
                seen = step(node, collection, by_index=looked_up == at + 1)
                if self.profiling:
                    stage = observed(stage, seen, self.steps[-1] if self.steps else None)
                self.steps.append(seen)
            stages.append(stage)
        value = self.expression(returned) if returned else None
        if len(self.levels) == 1:
            self.steps.append(step(tree[-1], None, by_index=False))
        self.levels.pop()

        def run(frame: Frame) -> list[Any]:
            rows: Rows = iter((None,))
            for stage in stages:
                rows = stage(frame, rows)
            results = [value(frame) if value else None for _ in rows]
            if not value:
                return []
            return unique(results) if distinct else results

        return run, level

    def _for_stage(self, name: str, source: Node) -> Stage:
        context = self.context
        collection = self.collection(source)
        values = None if collection is not None else self.expression(source)
        slot = self.declare(name)

        def stage(frame: Frame, rows: Rows) -> Rows:
            for _ in rows:
                if collection is not None:
                    items = context.scan(collection)
                    context.scanned_full += len(items)
                else:
                    items = values(frame) if values else []
                    if not isinstance(items, list):
                        message = (
                            "collection or array expected as operand to FOR loop; "
                            f"you provided a value of type '{type_name(items)}'"
                        )
                        raise ArangoError(400, ErrorNumber.ARRAY_EXPECTED, message)
                for frame[slot] in items:
                    yield

        return stage

    def _keys(self, name: str, source: Node, following: list[Node]) -> list[str] | None:
        """Returns the keys that a FOR over a collection wants, if the FILTER after it says nothing but that.

        The server looks these up in the primary index, which decides on their order and on what it counts.
        """
        if not following or following[0][0] != "filter" or self.collection(source) is None:
            return None
        wanted = _wanted_keys(following[0][1], ("access", ("variable", name), (("attribute", "_key"),)))
        if wanted is None:
            return None
        keys: list[Any] = []
        for symbol, node in wanted:
            value = self.expression(node)
            if not isinstance(value, Constant):
                return None
            if symbol == "==":
                keys.append(value.value)
            elif isinstance(value.value, list):
                keys.extend(value.value)
        return sorted({key for key in keys if isinstance(key, str)}, key=sort_key)

    def _look_up(self, name: str, source: Node, keys: list[str]) -> Stage:
        context, collection = self.context, self.collection(source)
        slot = self.declare(name)

        def stage(frame: Frame, rows: Rows) -> Rows:
            for _ in rows:
                for key in keys:
                    document = context.source.document(f"{collection}/{key}")
                    if document is not None:
                        context.scanned_index += 1
                        frame[slot] = document
                        yield

        return stage

    def _index_fields(self, name: str, source: Node, following: list[Node]) -> list[str] | None:
        """Returns the fields of the sorted index that serves a FOR and the FILTER after it, in its order.

        Where the query sorts by itself nobody can see that order, so there it is not made.
        """
        if not following or following[0][0] != "filter" or any(node[0] in ("sort", "collect") for node in following):
            return None
        compared = {self._compared(part, name) for part in _conjunction(following[0][1])}
        collection = self.collection(source)
        if collection is None or len(compared) != 1 or None in compared:
            return None
        for index in self.context.source.indexes(collection):
            is_sorted = index["type"] in ("persistent", "hash", "skiplist") and not index["sparse"]
            if is_sorted and index["fields"][0] in compared and not any("." in part for part in index["fields"]):
                return index["fields"]
        return None

    def _compared(self, condition: Node, name: str) -> str | None:
        """Returns the attribute of the variable that a condition compares with a constant, if it does that."""
        if condition[0] != "binary" or condition[1] not in ("==", "<", "<=", ">", ">="):
            return None
        sides = condition[2:]
        for side, other in (sides, reversed(sides)):
            if side[:2] == ("access", ("variable", name)) and len(side[2]) == 1 and other[0] in ("value", "bind"):
                kind, attribute = side[2][0]
                found = self.bind(attribute) if kind == "attribute_bind" else attribute
                return found if kind in ("attribute", "attribute_bind") and isinstance(found, str) else None
        return None

    def _index_scan(self, name: str, source: Node, condition: Node, fields: list[str]) -> Stage:
        context, collection = self.context, self.collection(source) or ""
        slot = self.declare(name)
        test = self.expression(condition)

        def stage(frame: Frame, rows: Rows) -> Rows:
            for _ in rows:
                found = []
                for document in context.scan(collection):
                    frame[slot] = document
                    if to_bool(test(frame)):
                        found.append(document)
                context.scanned_index += len(found)
                columns = [sort_keys([document.get(field) for document in found]) for field in fields]
                for at in _sorted(list(range(len(found))), columns, [False] * len(fields), None):
                    frame[slot] = found[at]
                    yield

        return stage

    def _filter_stage(self, condition: Node) -> Stage:
        test = self.expression(condition)
        context = self.context

        def stage(frame: Frame, rows: Rows) -> Rows:
            for _ in rows:
                value = test(frame)
                if value is True or (value is not False and to_bool(value)):
                    yield
                else:
                    context.filtered += 1

        return stage

    def _let_stage(self, name: str, expression: Node) -> Stage:
        value = self.expression(expression)
        slot = self.declare(name)

        def stage(frame: Frame, rows: Rows) -> Rows:
            for _ in rows:
                frame[slot] = value(frame)
                yield

        return stage

    def _limit(self, offset_node: Node | None, count_node: Node, *, counted: bool) -> Stage:
        offset = self._limit_value(offset_node, null=0) if offset_node else 0
        count = self._limit_value(count_node, null=sys.maxsize)

        def stage(_frame: Frame, rows: Rows) -> Rows:
            seen = 0
            if count or counted:
                for _ in rows:
                    seen += 1
                    if offset < seen <= offset + count:
                        yield
                    if seen >= offset + count and not counted:
                        break
            if counted:
                self.full_count = seen

        return stage

    def _limit_value(self, node: Node, *, null: int) -> int:
        """A constant of LIMIT; null is how drivers say that there is none."""
        value = self.expression(node)
        number = value.value if isinstance(value, Constant) else -1
        if number is None:
            return null
        if type(number) is not int or number < 0:
            raise ArangoError(400, ErrorNumber.NUMBER_OUT_OF_RANGE, "number out of range")
        return number

    def _change_stage(
        self, verb: str, key_node: Node, document_node: Node, target: Node, option_nodes: dict[str, Node]
    ) -> Stage:
        context, writer = self.context, self.context.writer
        collection = self.collection(target)
        if collection is None or writer is None:
            msg = f"{verb} here"
            raise not_implemented(msg)
        options = {name: self._option_value(name, node) for name, node in option_nodes.items()}
        key = self.expression(key_node)
        document = self.expression(document_node) if document_node is not key_node else key
        slots = list(self.levels[-1].names.values())
        has_old = verb != "INSERT" or not options.keys().isdisjoint(("overwrite", "overwriteMode"))
        old_slot = self.declare("OLD") if has_old else self.new_slot()
        new_slot = self.declare("NEW") if verb != "REMOVE" else self.new_slot()

        def stage(frame: Frame, rows: Rows) -> Rows:
            # Nothing of what the query reads is changed by what it writes.
            planned = [(key(frame), document(frame), [frame[slot] for slot in slots]) for _ in rows]
            for key_value, document_value, variables in planned:
                try:
                    named = None if verb == "INSERT" else _key(key_value)
                    old, new = writer.change(verb, collection, named, document_value, options)
                except ArangoError:
                    if not to_bool(options.get("ignoreErrors")):
                        raise
                    context.writes_ignored += 1
                    continue
                context.writes_executed += 1
                for slot, value in zip(slots, variables, strict=True):
                    frame[slot] = value
                frame[old_slot], frame[new_slot] = old, new
                yield

        return stage

    def _option_value(self, name: str, node: Node) -> Any:
        value = self.expression(node)
        if not isinstance(value, Constant):
            msg = f"option {name} that is computed"
            raise not_implemented(msg)
        return value.value

    def _sort(self, keys: list[tuple[Node, bool]], following: list[Node], *, counted: bool) -> Stage:
        closures = [self.expression(node) for node, _ in keys]
        descending = [direction for _, direction in keys]
        shuffle = self.context.shuffle
        if not self.levels[-1].names:
            # One row at most, nothing to sort.
            return lambda _frame, rows: rows
        wanted: int | None = None
        if following and following[0][0] == "limit" and not counted:
            _, offset, count = following[0]
            wanted = self._limit_value(count, null=sys.maxsize) + (self._limit_value(offset, null=0) if offset else 0)

        slots = list(self.levels[-1].names.values())
        save = operator.itemgetter(*slots)

        def stage(frame: Frame, rows: Rows) -> Rows:
            columns: list[list[Any]] = [[] for _ in closures]
            kept = []
            for _ in rows:
                for column, closure in zip(columns, closures, strict=True):
                    column.append(closure(frame))
                kept.append(save(frame))
            order = list(range(len(kept)))
            if shuffle is not None:
                shuffle.shuffle(order)
            for at in _sorted(order, list(map(sort_keys, columns)), descending, wanted):
                if len(slots) == 1:
                    frame[slots[0]] = kept[at]
                else:
                    for slot, value in zip(slots, kept[at], strict=True):
                        frame[slot] = value
                yield

        return stage

    def _collect(  # noqa: PLR0917 - the parts of the node, in their order
        self,
        groups: list[tuple[str, Node]],
        aggregates: list[tuple[str, str, list[Node]]],
        into: str | None,
        projection_node: Node | None,
        keep: list[str] | None,
        count: str | None,
        *,
        before: list[Node],
    ) -> Stage:
        level = self.levels[-1]
        key_closures = [self.expression(node) for _, node in groups]
        functions, inputs = [], []
        for _, function, arguments in aggregates:
            if function not in _AGGREGATES:
                message = "unknown aggregate function used"
                raise ArangoError(400, ErrorNumber.INVALID_AGGREGATE_EXPRESSION, message)
            if len(arguments) != 1:
                self._call(function, arguments)
                msg = f"{function}() without an argument"
                raise not_implemented(msg)
            functions.append(_AGGREGATES[function])
            inputs.append(self.expression(arguments[0]))
        projection = self._projection(level, into, projection_node, keep, before)
        # What was declared before a COLLECT is gone after it.
        level.names = {}
        key_slots = [self.declare(name) for name, _ in groups]
        value_slots = [self.declare(name) for name, *_ in aggregates]
        into_slot = self.declare(into) if into else -1
        count_slot = self.declare(count) if count else -1

        def stage(frame: Frame, rows: Rows) -> Rows:
            found: dict[Any, tuple[list[Any], list[list[Any]], list[Any], list[int]]] = {}
            if not groups:
                found[()] = ([], [[] for _ in inputs], [], [0])
            for _ in rows:
                keys = [closure(frame) for closure in key_closures]
                hashed = tuple(map(hash_key, keys))
                group = found.get(hashed)
                if group is None:
                    group = found[hashed] = (keys, [[] for _ in inputs], [], [0])
                for column, closure in zip(group[1], inputs, strict=True):
                    column.append(closure(frame))
                if projection is not None:
                    group[2].append(projection(frame))
                group[3][0] += 1
            for keys, columns, members, size in _in_key_order(list(found.values())):
                for slot, value in zip(key_slots, keys, strict=True):
                    frame[slot] = value
                for slot, function, column in zip(value_slots, functions, columns, strict=True):
                    frame[slot] = function(column)
                if into:
                    frame[into_slot] = members
                if count:
                    frame[count_slot] = size[0]
                yield

        return stage

    def _projection(
        self, level: Level, into: str | None, expression: Node | None, keep: list[str] | None, before: list[Node]
    ) -> Closure | None:
        if into is None:
            return None
        if expression is not None:
            if keep is not None:
                msg = "COLLECT with both a projection and KEEP"
                raise not_implemented(msg)
            return self.expression(expression)
        names = level.names
        if keep is not None:
            unknown = next((name for name in keep if self._slot(name) is None), None)
            if unknown is not None:
                message = f"use of unknown variable '{unknown}' for KEEP"
                raise ArangoError(400, ErrorNumber.QUERY_PARSE, message)
            names = {name: slot for name in keep if (slot := self._slot(name)) is not None}
        elif any(node[0] == "collect" for node in before) or (before and before[0][0] == "let"):
            # Which variables a group then holds depends on the plan the server makes.
            msg = "COLLECT INTO without KEEP after LET or COLLECT at the start of the query"
            raise not_implemented(msg)
        pairs = list(names.items())
        return lambda frame: {name: frame[slot] for name, slot in pairs}


def _filtered(following: list[Node]) -> list[Node]:
    """Returns the conditions of the FILTER that follows; none if something else does."""
    return _conjunction(following[0][1]) if following and following[0][0] == "filter" else []


def _conjunction(condition: Node) -> list[Node]:
    """Returns the conditions that must all hold for this one to hold."""
    if condition[:2] == ("binary", "AND"):
        return _conjunction(condition[2]) + _conjunction(condition[3])
    return [condition]


def _wanted_keys(condition: Node, key: Node) -> list[tuple[str, Node]] | None:
    """Returns what the key must be equal to or in, None if the condition says anything else."""
    if condition[:2] == ("binary", "OR"):
        left, right = _wanted_keys(condition[2], key), _wanted_keys(condition[3], key)
        return None if left is None or right is None else left + right
    if condition[0] != "binary" or condition[1] not in ("==", "IN"):
        return None
    _, symbol, left, right = condition
    if symbol == "==" and right == key:
        left, right = right, left
    return [(symbol, right)] if left == key and right[0] in ("value", "bind", "array") else None


def _key(value: Any) -> str:
    """Returns the key that a statement names a document by."""
    key = value.get("_key") if isinstance(value, dict) else value
    if not isinstance(key, str):
        raise ArangoError(400, ErrorNumber.DOCUMENT_KEY_MISSING, "missing document key")
    return key


def _sorted(order: list[int], columns: list[list[Any]], descending: list[bool], wanted: int | None) -> list[int]:
    """Returns row numbers sorted by the columns; ties stay in the given order."""
    if len(set(descending)) == 1:
        keys = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
        if wanted is not None and wanted * 10 < len(order):
            best = heapq.nlargest if descending[0] else heapq.nsmallest
            return best(wanted, order, key=keys.__getitem__)
        order.sort(key=keys.__getitem__, reverse=descending[0])
    else:
        for keys, reverse in reversed(list(zip(columns, descending, strict=True))):
            order.sort(key=keys.__getitem__, reverse=reverse)
    return order[:wanted]


def _in_key_order(groups: list[Any]) -> list[Any]:
    keyed = [(tuple(map(sort_key, group[0])), at, group) for at, group in enumerate(groups)]
    keyed.sort(key=lambda item: item[:2])
    for (left, *_), (right, *_) in pairwise(keyed):
        if left == right:
            # Equal by comparison, not by hash, as [] and [null] are: one group or two, as the plan has it.
            msg = "COLLECT by values that differ only in nulls"
            raise not_implemented(msg)
    return [group for _, _, group in keyed]
