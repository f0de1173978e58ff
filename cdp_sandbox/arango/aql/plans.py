"""What is told of how a query runs: its steps, in the words of the server's execution plans.

A plan is the stand-in's own. There is no optimizer, so no rules were applied and there is one plan only; the steps are
those that run, in their order. A node tells its type, its place and its estimates, and what it reads and names, but
does not spell its expressions out. Belongs here: the plan, and the figures of its nodes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cdp_sandbox.arango.aql.context import Source
from cdp_sandbox.arango.aql.nodes import Node

_LIST_ITEMS = 100
_KEPT_BY_COLLECT = 0.8
_CHANGES = {"INSERT": "InsertNode", "UPDATE": "UpdateNode", "REPLACE": "ReplaceNode", "REMOVE": "RemoveNode"}


@dataclass
class Step:
    """One statement of the main query as it runs.

    Attributes:
        types: the nodes it is in a plan, calculations first.
        collection: what it reads or changes.
        variables: the names it gives values to.
        factor: rows it is expected to give for each row it takes; None if it gives one for each document.
        items: rows it gave.
        filtered: rows it dropped.
        seconds: what it took, together with the steps before it.
    """

    types: list[str]
    collection: str | None = None
    variables: list[str] = field(default_factory=list)
    factor: float | None = 1
    items: int = 0
    filtered: int = 0
    seconds: float = 0.0


def step(node: Node, collection: str | None, *, by_index: bool) -> Step:  # noqa: PLR0911 - one for each statement
    """Returns the step that a statement is."""
    match node:
        case ("for", name, _) if collection is not None:
            kind = "IndexNode" if by_index else "EnumerateCollectionNode"
            return Step([kind], collection, [name], 1 if by_index else None)
        case ("for", name, source):
            return Step([*_calculations(source), "EnumerateListNode"], None, [name], _LIST_ITEMS)
        case ("filter", _):
            return Step(["CalculationNode", "FilterNode"])
        case ("let", name, _):
            return Step(["CalculationNode"], None, [name])
        case ("sort", keys):
            return Step([*_calculations(*(key for key, _ in keys)), "SortNode"])
        case ("limit", *_):
            return Step(["LimitNode"])
        case ("collect", groups, aggregates, into, _, _, count):
            names = [name for name, *_ in (*groups, *aggregates)] + [name for name in (into, count) if name]
            inputs = [value for _, value in groups] + [value for _, _, values in aggregates for value in values]
            return Step([*_calculations(*inputs), "CollectNode"], None, names, _KEPT_BY_COLLECT)
        case ("change", verb, key, document, *_):
            values = [key] if key is document else [key, document]
            return Step([*_calculations(*values), _CHANGES[verb]], collection)
        case (_, _, returned):
            return Step([*_calculations(returned), "ReturnNode"] if returned else [])
    raise AssertionError(node)


def observed(stage: Callable[[Any, Iterator[None]], Iterator[None]], seen: Step, before: Step | None) -> Any:
    """Returns a stage that does the same and notes what it did."""

    def observing(frame: Any, rows: Iterator[None]) -> Iterator[None]:
        results = stage(frame, rows)
        while True:
            started = time.perf_counter()
            try:
                next(results)
            except StopIteration:
                return
            finally:
                seen.seconds += time.perf_counter() - started
                if seen.types[-1:] == ["FilterNode"] and before is not None:
                    seen.filtered = before.items - seen.items
            seen.items += 1
            yield

    return observing


def plan(steps: list[Step], source: Source, database: str) -> dict[str, Any]:
    """Returns the plan that the steps are."""
    nodes: list[dict[str, Any]] = [
        {"type": "SingletonNode", "dependencies": [], "id": 1, "estimatedCost": 1, "estimatedNrItems": 1}
    ]
    variables: list[dict[str, Any]] = []
    cost, items = 1.0, 1.0
    for one in steps:
        for kind in one.types:
            if kind != "CalculationNode" and one.collection is not None and one.factor is None:
                items *= source.count(one.collection)
                cost += 1
            elif kind != "CalculationNode" and one.factor is not None:
                items = math.ceil(items * one.factor)
            cost += items * max(1.0, math.log2(max(items, 1))) if kind == "SortNode" else items
            node: dict[str, Any] = {"type": kind, "dependencies": [len(nodes)], "id": len(nodes) + 1}
            node |= {"estimatedCost": normal(cost), "estimatedNrItems": int(items)}
            if kind == one.types[-1]:
                node |= _named(one, variables, database)
            nodes.append(node)
    collections = [
        {"name": one.collection, "type": "write" if one.types[-1] in _CHANGES.values() else "read"}
        for one in steps
        if one.collection is not None
    ]
    return {
        "nodes": nodes,
        "rules": [],
        "collections": collections,
        "variables": variables,
        "estimatedCost": normal(cost),
        "estimatedNrItems": int(items),
        "isModificationQuery": any(kind in _CHANGES.values() for one in steps for kind in one.types),
    }


def figures(steps: list[Step]) -> list[dict[str, Any]]:
    """Returns what the nodes of a plan did, in the order of their numbers."""
    shown = [{"id": 1, "calls": 1, "items": 1, "filtered": 0, "runtime": 0.0}]
    for one in steps:
        for kind in one.types:
            last = kind == one.types[-1]
            items = one.items if last else shown[-1]["items"]
            filtered = one.filtered if last else 0
            shown.append(
                {
                    "id": len(shown) + 1,
                    "calls": 1,
                    "items": items,
                    "filtered": filtered,
                    "runtime": one.seconds if last else shown[-1]["runtime"],
                }
            )
    return shown


def normal(value: float) -> int | float:
    """Returns a whole number as an integer."""
    return int(value) if float(value).is_integer() else value


def _named(one: Step, variables: list[dict[str, Any]], database: str) -> dict[str, Any]:
    told: dict[str, Any] = {} if one.collection is None else {"database": database, "collection": one.collection}
    is_document = one.collection is not None
    added = [
        {"id": len(variables) + at, "name": name, "isFullDocumentFromCollection": is_document}
        for at, name in enumerate(one.variables)
    ]
    variables.extend(added)
    return told | ({"outVariable": added[0]} if len(added) == 1 else {})


def _calculations(*nodes: Node) -> list[str]:
    return ["CalculationNode" for node in nodes if node[0] != "variable"]
