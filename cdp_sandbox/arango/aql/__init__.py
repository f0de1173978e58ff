"""AQL for the ArangoDB stand-in: reads, and one change of documents at the end of a query.

:func:`execute` answers a query as ArangoDB 3.11 does, or refuses it with the error the server would give. UPSERT, more
than one change, traversals, views and windows are refused. What order the server leaves open (scans of a collection,
ties) comes out shuffled if a random generator is passed, so that nothing comes to rely on it; where the server would
read an index and the query does not sort, rows come in the order of that index.

Belongs here: the interface. The way of a query is ``parsing`` (with ``tree`` and ``nodes``), ``compiling`` and
``pipeline``; what values are is in ``values`` and ``collation``, the functions are in ``functions``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cdp_sandbox.arango.aql.context import Context, Source, Writer
from cdp_sandbox.arango.aql.parsing import ParsedQuery, parse
from cdp_sandbox.arango.aql.plans import Step, figures, plan
from cdp_sandbox.arango.errors import ArangoError, ErrorNumber, not_implemented

__all__ = ["ParsedQuery", "QueryResult", "Source", "Writer", "execute", "figures", "parse", "plan", "repeatable"]


@dataclass(frozen=True)
class QueryResult:
    """What a query gave.

    Attributes:
        rows: the results, JSON values. Parts of stored documents may be among them: not to be changed.
        full_count: rows before the last LIMIT of the main query, if asked for and if there is a LIMIT.
        warnings: ``{"code": 1562, "message": "division by zero"}``, ten at most.
        stats: ``scannedFull``, ``scannedIndex``, ``filtered``, ``writesExecuted`` and ``writesIgnored``.
        seconds: what each phase took, by the server's names of them.
        steps: the steps of the query. What each of them did is noted if asked for.
    """

    rows: Sequence[Any]
    full_count: int | None = None
    warnings: list[dict[str, Any]] = field(default_factory=list)
    stats: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


def execute(
    query: str,
    bind_vars: Mapping[str, Any],
    source: Source,
    *,
    writer: Writer | None = None,
    full_count: bool = False,
    fail_on_warning: bool = False,
    profiling: bool = False,
    planning_only: bool = False,
    shuffle: random.Random | None = None,
    now: Callable[[], datetime] | None = None,
) -> QueryResult:
    """Runs a query.

    Args:
        query: the text.
        bind_vars: values by name, those of collections with one leading ``@``.
        source: the collections.
        writer: what changes them. Without it a query that changes documents is refused.
        full_count: count the rows that the last LIMIT of the main query cuts off.
        fail_on_warning: what would be a warning is an error.
        profiling: note what each step does.
        planning_only: do not run it, and return its steps only.
        shuffle: decides the order where the server promises none.
        now: the clock; DATE_NOW() is one moment for the whole query.

    Raises:
        ArangoError: as the server answers, prefixed with ``AQL:`` and followed by the phase it happened in.
    """
    from cdp_sandbox.arango.aql.pipeline import Pipeline

    started = time.perf_counter()
    moment = now().timestamp() if now else datetime.now().astimezone().timestamp()
    phase = "while parsing"
    try:
        parsed = parse(query)
        parsing_done = time.perf_counter()
        unknown = next((name for name in bind_vars if name not in parsed.bind_variables), None)
        if unknown is not None:
            message = f"bind parameter '{unknown}' was not declared in the query"
            raise ArangoError(400, ErrorNumber.BIND_PARAMETER_UNDECLARED, message)
        context = Context(
            source, now_ms=int(moment * 1000), fail_on_warning=fail_on_warning, shuffle=shuffle, writer=writer
        )
        pipeline = Pipeline(context, bind_vars)
        pipeline.counting, pipeline.profiling = full_count, profiling
        run = pipeline.query(parsed.tree)
        if planning_only:
            return QueryResult([], warnings=context.warnings, steps=pipeline.steps)
        phase = "while executing"
        planning_done = time.perf_counter()
        rows = run([None] * pipeline.slots)
    except ArangoError as error:
        raise _in_phase(error, phase) from None
    except RecursionError:
        error = ArangoError(400, ErrorNumber.TOO_MUCH_NESTING, "too much nesting or too many objects")
        raise _in_phase(error, phase) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _in_phase(not_implemented(f"this query ({type(error).__name__})"), phase) from error
    stats = {
        "scannedFull": context.scanned_full,
        "scannedIndex": context.scanned_index,
        "filtered": context.filtered,
        "writesExecuted": context.writes_executed,
        "writesIgnored": context.writes_ignored,
    }
    seconds = {
        "parsing": parsing_done - started,
        "instantiating executors": planning_done - parsing_done,
        "executing": time.perf_counter() - planning_done,
    }
    return QueryResult(rows, pipeline.full_count, context.warnings, stats, seconds, pipeline.steps)


def repeatable(parsed: ParsedQuery) -> bool:
    """Says whether a query gives the same whenever it runs, as long as its collections do not change."""
    from cdp_sandbox.arango.aql.functions import FUNCTIONS

    return not any(name == "DATE_NOW" or name not in FUNCTIONS or FUNCTIONS[name].reads for name in parsed.functions)


def _in_phase(error: ArangoError, phase: str) -> ArangoError:
    if error.number == ErrorNumber.QUERY_EMPTY or error.message.startswith("AQL: "):
        return error
    if error.number == ErrorNumber.COLLECTION_NOT_FOUND:
        phase = "while parsing"
    return ArangoError(error.http_status, error.number, f"AQL: {error.message} ({phase})")
