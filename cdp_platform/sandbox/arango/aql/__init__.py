"""AQL for the ArangoDB stand-in: reads, and nothing but reads.

:func:`execute` answers a query as ArangoDB 3.11 does, or refuses it with the error the server would give. Changing
data, traversals, views and windows are refused. What order the server leaves open (unsorted scans, ties) comes
out shuffled if a random generator is passed, so that nothing comes to rely on it.

Belongs here: the interface. The way of a query is ``parsing`` (with ``tree``), ``compiling`` and ``pipeline``; what
values are is in ``values`` and ``collation``, the functions are in ``functions``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cdp_platform.sandbox.arango.aql.context import Context, Source
from cdp_platform.sandbox.arango.aql.parsing import ParsedQuery, parse
from cdp_platform.sandbox.arango.errors import ArangoError, ErrorNumber

__all__ = ["ParsedQuery", "QueryResult", "Source", "execute", "parse"]


@dataclass(frozen=True)
class QueryResult:
    """What a query gave.

    Attributes:
        rows: the results, JSON values. Parts of stored documents may be among them: not to be changed.
        full_count: rows before the last LIMIT of the main query, if asked for and if there is a LIMIT.
        warnings: ``{"code": 1562, "message": "division by zero"}``, ten at most.
        stats: ``scannedFull`` and ``filtered``.
    """

    rows: Sequence[Any]
    full_count: int | None = None
    warnings: list[dict[str, Any]] = field(default_factory=list)
    stats: dict[str, int] = field(default_factory=dict)


def execute(
    query: str,
    bind_vars: Mapping[str, Any],
    source: Source,
    *,
    full_count: bool = False,
    fail_on_warning: bool = False,
    shuffle: random.Random | None = None,
    now: Callable[[], datetime] | None = None,
) -> QueryResult:
    """Runs a query.

    Args:
        query: the text.
        bind_vars: values by name, those of collections with one leading ``@``.
        source: the collections.
        full_count: count the rows that the last LIMIT of the main query cuts off.
        fail_on_warning: what would be a warning is an error.
        shuffle: decides the order where the server promises none.
        now: the clock; DATE_NOW() is one moment for the whole query.

    Raises:
        ArangoError: as the server answers, prefixed with ``AQL:`` and followed by the phase it happened in.
    """
    from cdp_platform.sandbox.arango.aql.pipeline import Pipeline

    moment = now().timestamp() if now else datetime.now().astimezone().timestamp()
    phase = "while parsing"
    try:
        parsed = parse(query)
        unknown = next((name for name in bind_vars if name not in parsed.bind_variables), None)
        if unknown is not None:
            message = f"bind parameter '{unknown}' was not declared in the query"
            raise ArangoError(400, ErrorNumber.BIND_PARAMETER_UNDECLARED, message)
        context = Context(source, now_ms=int(moment * 1000), fail_on_warning=fail_on_warning, shuffle=shuffle)
        pipeline = Pipeline(context, bind_vars)
        pipeline.counting = full_count
        run = pipeline.query(parsed.tree)
        phase = "while executing"
        rows = run([None] * pipeline.slots)
    except ArangoError as error:
        raise _in_phase(error, phase) from None
    except RecursionError:
        error = ArangoError(400, ErrorNumber.TOO_MUCH_NESTING, "too much nesting or too many objects")
        raise _in_phase(error, phase) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        refusal = ArangoError(500, ErrorNumber.NOT_IMPLEMENTED, f"not implemented: {error}")
        raise _in_phase(refusal, phase) from error
    stats = {"scannedFull": context.scanned_full, "filtered": context.filtered}
    return QueryResult(rows, pipeline.full_count, context.warnings, stats)


def _in_phase(error: ArangoError, phase: str) -> ArangoError:
    if error.number == ErrorNumber.QUERY_EMPTY or error.message.startswith("AQL: "):
        return error
    if error.number == ErrorNumber.COLLECTION_NOT_FOUND:
        phase = "while parsing"
    return ArangoError(error.http_status, error.number, f"AQL: {error.message} ({phase})")
