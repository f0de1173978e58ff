"""From the text of a query to its tree.

Belongs here: the scanner, the parser (its grammar is in ``grammar.lark``) and syntax errors in the words of the server.
What a tree is made of is in ``nodes``. Nothing here knows about collections, bind values or functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdp_sandbox.arango.aql.nodes import Node, Unsupported, unescape
from cdp_sandbox.arango.errors import ArangoError, ErrorNumber

if TYPE_CHECKING:
    from lark import Lark, Token

_KEYWORDS = frozenset(
    """
    FOR LET FILTER RETURN COLLECT SORT LIMIT DISTINCT ASC DESC IN WITH INTO AGGREGATE NOT AND OR LIKE ANY ALL NONE
    NULL TRUE FALSE WINDOW GRAPH SHORTEST_PATH K_SHORTEST_PATHS K_PATHS ALL_SHORTEST_PATHS OUTBOUND INBOUND
    REMOVE INSERT UPDATE REPLACE UPSERT
    """.split()
)
_SPELLED = {"!": "NOT", "&&": "AND", "||": "OR"}
# How the server's parser calls its tokens; what is not listed is called by its text.
_TOKEN_NAMES = dict.fromkeys(("FOR", "LET", "FILTER", "RETURN", "COLLECT", "SORT", "LIMIT", "WINDOW"), "{} declaration")
_TOKEN_NAMES |= dict.fromkeys(("REMOVE", "INSERT", "UPDATE", "REPLACE", "UPSERT"), "{} command")
_TOKEN_NAMES |= dict.fromkeys(
    ("ASC", "DESC", "IN", "WITH", "INTO", "AGGREGATE", "GRAPH", "SHORTEST_PATH"), "{} keyword"
)
_TOKEN_NAMES |= dict.fromkeys(("K_SHORTEST_PATHS", "K_PATHS", "ALL_SHORTEST_PATHS"), "{} keyword")
_TOKEN_NAMES |= dict.fromkeys(("NULL", "TRUE", "FALSE"), "{}")
_TOKEN_NAMES |= {"DISTINCT": "{} modifier", "OUTBOUND": "outbound modifier", "INBOUND": "inbound modifier"}
_TOKEN_NAMES |= {"ANY": "any modifier", "ALL": "all modifier", "NONE": "none modifier", "LIKE": "like operator"}
_TOKEN_NAMES |= {"NOT": "not operator", "AND": "and operator", "OR": "or operator", "NOT_IN": "not in operator"}
_TOKEN_NAMES |= {"MATCH": "~= operator", "NOT_MATCH": "~! operator", "ASSIGN": "assignment", "IDENT": "identifier"}
_TOKEN_NAMES |= {"STRING": "quoted string", "INTEGER": "integer number", "DOUBLE": "number"}
_TOKEN_NAMES |= {"PARAMETER": "bind parameter", "COLLECTION_PARAMETER": "bind data source parameter"}
_TOKEN_NAMES |= {"$END": "end of query string"}
_OPERATORS = frozenset(("EQ", "NE", "LT", "GT", "LE", "GE", "PLUS", "MINUS", "STAR", "SLASH", "PERCENT"))
_SNIPPET = 32


@dataclass(frozen=True)
class ParsedQuery:
    """A query that is syntactically right.

    Attributes:
        tree: statements, the last of which is a ``return`` (of nothing, if a change ends the query).
        bind_variables: names as the server reports them, those of collections with one leading ``@``.
        collections: names used that no statement of the query declares.
        functions: names of the functions it calls.
    """

    tree: tuple[Node, ...]
    bind_variables: tuple[str, ...]
    collections: tuple[str, ...]
    functions: frozenset[str]

    @property
    def changes(self) -> bool:
        """Whether the query changes documents."""
        return any(node[0] == "change" for node in self.tree)


@lru_cache(maxsize=512)
def parse(query: str) -> ParsedQuery:
    """Parses the text of a query.

    Raises:
        ArangoError: 1502 for an empty query, 1501 for what is no AQL or not supported here, 1524 for too deep nesting.
    """
    from lark import UnexpectedCharacters, UnexpectedToken
    from lark.exceptions import VisitError

    if not query:
        raise ArangoError(400, ErrorNumber.QUERY_EMPTY, "query is empty")
    try:
        from cdp_sandbox.arango.aql.tree import to_nodes

        tree = to_nodes(_parser().parse(query))
    except UnexpectedToken as error:
        raise _syntax_error(query, error.token) from None
    except UnexpectedCharacters as error:
        raise unexpected(query, "$undefined", error.pos_in_stream or 0) from None
    except VisitError as error:
        if isinstance(error.orig_exc, Unsupported):
            raise unexpected(query, error.orig_exc.what, error.orig_exc.position) from None
        if isinstance(error.orig_exc, ArangoError):
            raise error.orig_exc from None
        raise
    except RecursionError:
        raise ArangoError(400, ErrorNumber.TOO_MUCH_NESTING, "too much nesting or too many objects") from None
    binds: dict[str, None] = {}
    declared: set[str] = set()
    used: dict[str, None] = {}
    _names(tree, binds, declared, used)
    collections = tuple(name for name in used if name not in declared and name != "CURRENT")
    return ParsedQuery(tree, tuple(binds), collections, frozenset(_calls(tree)))


@cache
def _parser() -> Lark:
    from lark import Lark

    grammar = Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    callbacks = {"IDENT": _rename}
    return Lark(grammar, parser="lalr", lexer="basic", maybe_placeholders=True, lexer_callbacks=callbacks)


def _rename(token: Token) -> Token:
    kind = _SPELLED.get(token) or token.upper()
    if kind in _KEYWORDS:
        return token.update(type=kind)
    if token[0] in "`\u00b4":
        return token.update(value=unescape(token))
    return token


def _syntax_error(query: str, token: Token) -> ArangoError:
    if token.type in _OPERATORS:
        name = f"{token} operator"
    else:
        word = token.type.lower() if token.type in ("NULL", "TRUE", "FALSE") else token.type
        name = _TOKEN_NAMES[token.type].format(word) if token.type in _TOKEN_NAMES else str(token)
    position = len(query) if token.type == "$END" else token.start_pos or 0
    return unexpected(query, name, position)


def unexpected(query: str, what: str, position: int) -> ArangoError:
    """Returns the syntax error of the server for ``what`` at a position of the query."""
    rest = query[position:]
    snippet = rest if len(rest) <= _SNIPPET else rest[:_SNIPPET] + "..."
    line = query.count("\n", 0, position) + 1
    column = position - (query.rfind("\n", 0, position) + 1) + 1
    message = f"syntax error, unexpected {what} near '{snippet}' at position {line}:{column}"
    return ArangoError(400, ErrorNumber.QUERY_PARSE, message)


def _calls(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        node = list(node.values())
    if not isinstance(node, tuple | list):
        return
    if node[:1] == ("call",):
        yield node[1]
    for child in node:
        yield from _calls(child)


def _names(node: Any, binds: dict[str, None], declared: set[str], used: dict[str, None]) -> None:
    if not isinstance(node, tuple | list):
        return
    kind = node[0] if node and isinstance(node, tuple) and isinstance(node[0], str) else ""
    if kind in ("bind", "collection_bind", "attribute_bind"):
        binds[node[1]] = None
    elif kind == "variable":
        used[node[1]] = None
    elif kind in ("for", "let"):
        declared.add(node[1])
    elif kind == "collect":
        declared.update(name for name, *_ in (*node[1], *node[2]))
        declared.update(name for name in (node[3], node[6]) if name)
    elif kind == "change":
        declared.update(("OLD", "NEW"))
        _names(list(node[5].values()), binds, declared, used)
    for child in node[1:] if kind else node:
        _names(child, binds, declared, used)
