"""From the tree of a query to Python closures: expressions.

Closures are made for one execution, so bind values are constants of it. What operators do is in ``operators``;
statements are compiled in ``pipeline``.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from cdp_sandbox.arango.aql.context import Context
from cdp_sandbox.arango.aql.functions import FUNCTIONS
from cdp_sandbox.arango.aql.functions.arrays import flat
from cdp_sandbox.arango.aql.functions.numbers import int_range
from cdp_sandbox.arango.aql.functions.registry import Function
from cdp_sandbox.arango.aql.nodes import Node
from cdp_sandbox.arango.aql.operators import (
    ARITHMETIC,
    Closure,
    Constant,
    Frame,
    arithmetic,
    attribute,
    comparison,
    constants,
    either,
    index,
    negative,
    positive,
)
from cdp_sandbox.arango.aql.values import (
    to_bool,
    to_int,
    to_string,
)
from cdp_sandbox.arango.errors import ArangoError, ErrorNumber

_PATTERNS = {"LIKE": "LIKE", "=~": "REGEX_TEST", "!~": "REGEX_TEST"}


class Level:
    """The variables of one query or subquery, and whether it reads variables of those around it."""

    def __init__(self, first_slot: int) -> None:
        self.first_slot = first_slot
        self.names: dict[str, int] = {}
        self.correlated = False
        self.current: list[int] = []
        self.hoisted: list[tuple[int, Closure]] = []


class Expressions:
    """Compiles expressions. Subqueries are compiled by :meth:`subquery`, which ``pipeline`` supplies."""

    def __init__(self, context: Context, binds: Mapping[str, Any]) -> None:
        self.context = context
        self.binds = binds
        self.levels: list[Level] = []
        self.slots = 0

    def subquery(self, query: tuple[Node, ...]) -> Closure:
        """Returns a closure for the array of results of a subquery."""
        raise NotImplementedError

    def expression(self, node: Node) -> Closure:
        """Compiles an expression of a statement.

        Its subqueries run first and always, even in a branch that is not taken: so does the server, of this version.
        """
        level = self.levels[-1]
        outer, level.hoisted = level.hoisted, []
        closure = self._compile(node)
        hoisted, level.hoisted = level.hoisted, outer
        if not hoisted:
            return closure

        def with_subqueries(frame: Frame) -> Any:
            for slot, run in hoisted:
                frame[slot] = run(frame)
            return closure(frame)

        return with_subqueries

    def declare(self, name: str) -> int:
        """Returns the slot of a new variable."""
        if any(name in level.names for level in self.levels):
            message = f"variable '{name}' is assigned multiple times"
            raise ArangoError(400, ErrorNumber.VARIABLE_REDECLARED, message)
        self.levels[-1].names[name] = slot = self.new_slot()
        return slot

    def new_slot(self) -> int:
        """Returns a slot that no variable has."""
        self.slots += 1
        return self.slots - 1

    def bind(self, name: str) -> Any:
        """Returns the value of a bind parameter."""
        if name not in self.binds:
            message = f"no value specified for declared bind parameter '{name}'"
            raise ArangoError(400, ErrorNumber.BIND_PARAMETER_MISSING, message)
        return self.binds[name]

    def collection(self, node: Node) -> str | None:
        """Returns the name of the collection that a node stands for, None if it is something else."""
        if node[0] == "collection_bind":
            name = self.bind(node[1])
            if not isinstance(name, str):
                message = f"bind parameter '{node[1]}' has an invalid value or type"
                raise ArangoError(400, ErrorNumber.BIND_PARAMETER_TYPE, message)
        elif node[0] == "variable" and self._slot(node[1]) is None:
            name = node[1]
        else:
            return None
        self.context.source.count(name)
        return name

    def _slot(self, name: str) -> int | None:
        for level in reversed(self.levels):
            if name in level.names:
                return level.names[name]
            # Not in a subquery: that runs before the expansion it stands in.
            if level is self.levels[-1] and level.current and name in ("CURRENT", "$CURRENT"):
                return level.current[-1]
        return None

    def _compile(self, node: Node) -> Closure:
        return getattr(self, f"_{node[0]}")(*node[1:])

    def _all(self, nodes: list[Node]) -> list[Closure]:
        return [self._compile(node) for node in nodes]

    def _value(self, value: Any) -> Closure:
        return Constant(value)

    def _bind(self, name: str) -> Closure:
        return Constant(self.bind(name))

    def _collection_bind(self, name: str) -> Closure:
        message = f"collection '{self.collection(('collection_bind', name))}' used as expression operand"
        raise ArangoError(400, ErrorNumber.COLLECTION_USED_IN_EXPRESSION, message)

    def _variable(self, name: str) -> Closure:
        slot = self._slot(name)
        if slot is None:
            message = f"collection '{self.collection(('variable', name))}' used as expression operand"
            raise ArangoError(400, ErrorNumber.COLLECTION_USED_IN_EXPRESSION, message)
        for level in self.levels:
            if slot < level.first_slot:
                level.correlated = True
        return operator.itemgetter(slot)

    def _paren(self, node: Node) -> Closure:
        return self._compile(node)

    def _subquery(self, query: tuple[Node, ...]) -> Closure:
        slot = self.new_slot()
        run = self.subquery(query)
        self.levels[-1].hoisted.append((slot, run))
        return operator.itemgetter(slot)

    # Literals

    def _array(self, items: list[Node]) -> Closure:
        closures = self._all(items)
        values = constants(closures)
        return Constant(values) if values is not None else lambda frame: [closure(frame) for closure in closures]

    def _object(self, elements: list[tuple[Any, Node]]) -> Closure:
        values = self._all([value for _, value in elements])
        if all(isinstance(name, str) for name, _ in elements):
            pairs = list(zip((name for name, _ in elements), values, strict=True))
            fixed = constants(values)
            if fixed is not None:
                return Constant(dict(zip((name for name, _ in elements), fixed, strict=True)))
            return lambda frame: {name: value(frame) for name, value in pairs}
        names = [Constant(name) if isinstance(name, str) else self._compile(name) for name, _ in elements]
        computed = list(zip(names, values, strict=True))
        return lambda frame: {to_string(name(frame)): value(frame) for name, value in computed}

    def _range(self, low: Node, high: Node) -> Closure:
        first, last = self._compile(low), self._compile(high)
        if (ends := constants([first, last])) is not None:
            return Constant(int_range(to_int(ends[0]), to_int(ends[1])))
        return lambda frame: int_range(to_int(first(frame)), to_int(last(frame)))

    # Operators

    def _unary(self, symbol: str, operand: Node) -> Closure:
        value = self._compile(operand)
        run: Closure
        if symbol == "NOT":
            run = lambda frame: not to_bool(value(frame))  # noqa: E731
        elif symbol == "-":
            run = lambda frame: negative(value(frame))  # noqa: E731
        else:
            run = lambda frame: positive(value(frame))  # noqa: E731
        return Constant(run([])) if isinstance(value, Constant) else run

    def _ternary(self, condition: Node, yes: Node | None, no: Node) -> Closure:
        test, otherwise = self._compile(condition), self._compile(no)
        if yes is None:
            return either(test, otherwise)
        then = self._compile(yes)
        return lambda frame: then(frame) if to_bool(test(frame)) else otherwise(frame)

    def _binary(self, symbol: str, left_node: Node, right_node: Node) -> Closure:
        if symbol in _PATTERNS:
            matched = self._call(_PATTERNS[symbol], [left_node, right_node])
            return (lambda frame: not to_bool(matched(frame))) if symbol == "!~" else matched
        left, right = self._compile(left_node), self._compile(right_node)
        if symbol == "AND":
            return lambda frame: value if not to_bool(value := left(frame)) else right(frame)
        if symbol == "OR":
            return either(left, right)
        if symbol in ARITHMETIC:
            return arithmetic(self.context, symbol, left, right)
        run = comparison(symbol, left, right)
        return Constant(run([])) if constants([left, right]) is not None else run

    def _quantified(self, quantifier: str, symbol: str, left_node: Node, right_node: Node) -> Closure:
        left, right = self._compile(left_node), self._compile(right_node)
        need_array = symbol in ("IN", "NOT IN")
        slot, other = self.new_slot(), self.new_slot()
        holds = comparison(symbol, operator.itemgetter(slot), operator.itemgetter(other))

        def run(frame: Frame) -> bool:
            values, frame[other] = left(frame), right(frame)
            if not isinstance(values, list) or (need_array and not isinstance(frame[other], list)):
                return False
            matches = 0
            for frame[slot] in values:
                matches += holds(frame)
            if quantifier == "NONE":
                return matches == 0
            # Of no elements the server says neither that all nor that any hold.
            return matches > 0 if quantifier == "ANY" else 0 < matches == len(values)

        return run

    # Access

    def _access(self, base: Node, steps: tuple[Node, ...]) -> Closure:
        value = self._compile(base)
        plain: list[Node] = []
        for at, step in enumerate(steps):
            if step[0] == "expand":
                before, after = self._steps(value, plain), steps[at + 1 :]
                # `[**]` opens what all the steps before it have made, `[*]` goes on inside of them.
                stop = next((n for n, later in enumerate(after) if later[0] == "expand" and later[1] > 1), len(after))
                expanded = self._expansion(before, step, after[:stop])
                return self._access_on(expanded, after[stop:])
            if step[0] == "question":
                return self._question(self._steps(value, plain), step[1])
            plain.append(step)
        return self._steps(value, plain)

    def _access_on(self, value: Closure, steps: tuple[Node, ...]) -> Closure:
        slot = self.new_slot()
        rest = self._access(("frame_slot", slot), steps) if steps else None
        if rest is None:
            return value

        def run(frame: Frame) -> Any:
            frame[slot] = value(frame)
            return rest(frame)

        return run

    def _frame_slot(self, slot: int) -> Closure:
        return operator.itemgetter(slot)

    def _steps(self, value: Closure, steps: list[Node]) -> Closure:
        for kind, argument in steps:
            if kind == "index":
                value = index(value, self._compile(argument))
                continue
            name = argument
            if kind == "attribute_bind":
                name = self.bind(argument)
                if isinstance(name, list) and name and all(isinstance(part, str) for part in name):
                    for part in name[:-1]:
                        value = attribute(value, part)
                    name = name[-1]
                if not isinstance(name, str):
                    message = f"bind parameter '{argument}' has an invalid value or type"
                    raise ArangoError(400, ErrorNumber.BIND_PARAMETER_TYPE, message)
            value = attribute(value, name)
        return value

    def _expansion(self, value: Closure, step: Node, after: tuple[Node, ...]) -> Closure:
        _, levels, condition_node, limit, projection_node = step
        slot = self.new_slot()
        current = self.levels[-1].current
        offset = self._compile(limit[0]) if limit and limit[0] else Constant(0)
        count = self._compile(limit[1]) if limit else Constant(None)
        current.append(slot)
        condition = self._compile(condition_node) if condition_node else None
        projection = self._compile(projection_node) if projection_node else None
        current.pop()
        if after:
            projection = self._access(("frame_slot", slot), after)

        def run(frame: Frame) -> Any:
            values = value(frame)
            if not isinstance(values, list):
                return []
            if levels > 1:
                values = flat(values, levels - 1)
            if condition is not None:
                kept = []
                for item in values:
                    frame[slot] = item
                    if to_bool(condition(frame)):
                        kept.append(item)
                values = kept
            if limit is not None:
                skip, take = to_int(offset(frame)), to_int(count(frame))
                values = values[skip : skip + take] if skip >= 0 and take > 0 else []
            if projection is None:
                return values
            results = []
            for frame[slot] in values:
                results.append(projection(frame))
            return results

        return run

    def _question(self, value: Closure, condition_node: Node | None) -> Closure:
        expanded = self._expansion(value, ("expand", 1, condition_node, None, None), ())
        return lambda frame: bool(expanded(frame))

    # Calls

    def _call(self, name: str, arguments: list[Node]) -> Closure:
        function = FUNCTIONS.get(name)
        if function is None:
            if "::" in name:
                raise ArangoError(404, 1582, f"user function '{name}()' not found")
            message = f"usage of unknown function '{name}()'"
            raise ArangoError(400, ErrorNumber.FUNCTION_NAME_UNKNOWN, message)
        function.check_count(len(arguments))
        if name in ("LENGTH", "COUNT") and (collection := self.collection(arguments[0])) is not None:
            count = self.context.source.count
            return lambda _frame: count(collection)
        return self._apply(function, [self._argument(function, argument) for argument in arguments])

    def _argument(self, function: Function, node: Node) -> Closure:
        if function.takes_collections and (name := self.collection(node)) is not None:
            return Constant(name)
        return self._compile(node)

    def _apply(self, function: Function, arguments: list[Closure]) -> Closure:
        call, context = function.call, self.context
        values = None if function.reads else constants(arguments)
        if values is not None:
            return Constant(call(context, *values))
        if len(arguments) == 1:
            (only,) = arguments
            return lambda frame: call(context, only(frame))
        return lambda frame: call(context, *[argument(frame) for argument in arguments])
