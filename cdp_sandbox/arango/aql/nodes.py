"""The tree of a query, and the values of the literals in it.

A tree is made of tuples whose first element says what it is. Expressions:
``("value", v)``, ``("variable", name)``, ``("bind", name)``, ``("collection_bind", "@name")``, ``("array", items)``,
``("object", [(name | expr, expr)])``, ``("access", base, steps)``, ``("call", name, args)``, ``("subquery", query)``,
``("unary", op, x)``, ``("binary", op, left, right)``, ``("quantified", quantifier, op, left, right)``,
``("ternary", condition, yes | None, no)``, ``("range", low, high)``, ``("paren", x)``.
Steps of an access: ``("attribute", name)``, ``("attribute_bind", name)``, ``("index", x)``,
``("expand", levels, filter, limit, projection)``, ``("question", filter)``.
Statements: ``("for", name, source)``, ``("filter", x)``, ``("let", name, x)``, ``("sort", [(x, descending)])``,
``("limit", offset | None, count)``, ``("return", distinct, x | None)``,
``("collect", groups, aggregates, into, projection, keep, count)`` and
``("change", verb, key, document, collection, options)``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cdp_sandbox.arango.aql.values import MAX_INT, normal

if TYPE_CHECKING:
    from lark import Token

Node = tuple[Any, ...]

_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|[\s\S])")
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "/": "/", "\\": "\\", "`": "`"}
_LOW_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class Unsupported(Exception):  # noqa: N818
    """AQL that the grammar lets through and that is not supported here."""

    def __init__(self, what: str, position: int) -> None:
        super().__init__(what)
        self.what = what
        self.position = position


def unescape(token: Token) -> str:
    """Returns the text that a quoted string or identifier stands for."""

    def one(match: re.Match[str]) -> str:
        escape = match[1]
        if escape[0] == "u" and len(escape) == 5:
            return chr(int(escape[1:], 16))
        if escape not in _ESCAPED:
            raise Unsupported(f"escape sequence \\{escape}", token.start_pos or 0)
        return _ESCAPED[escape]

    text = _ESCAPE.sub(one, token[1:-1])
    text = _LOW_SURROGATES.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise Unsupported("half of a surrogate pair", token.start_pos or 0)
    return text


def number(text: str) -> int | float | None:
    """Returns the value of a number literal; integers beyond 64 bits become doubles."""
    if text[:2].lower() in ("0x", "0b"):
        value = int(text, 0)
    elif text.isdigit():
        value = int(text)
    else:
        return normal(float(text))
    return value if value <= MAX_INT else float(value)
