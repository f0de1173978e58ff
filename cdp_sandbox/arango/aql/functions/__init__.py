"""The functions of AQL, by theme. A function is either right for every argument or it is not here.

Each is a plain Python function ``(context, *arguments)`` over values that returns a value. Warnings go to the context.
"""

from __future__ import annotations

from cdp_sandbox.arango.aql.functions import arrays, dates, documents, geo, numbers, regexes, strings, types
from cdp_sandbox.arango.aql.functions.registry import Function, table

__all__ = ["FUNCTIONS", "Function"]

FUNCTIONS: dict[str, Function] = table(arrays, dates, documents, geo, numbers, regexes, strings, types)
"""All functions by their upper-case names, aliases included."""
