"""From what the parser found to the tuples that ``nodes`` describes. One method per rule of ``grammar.lark``."""

from __future__ import annotations

from typing import Any

from lark import Token, Transformer, Tree, v_args

from cdp_sandbox.arango.aql.nodes import Node, Unsupported, number, unescape

_OPERATORS = {
    "EQ": "==", "NE": "!=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">=", "PLUS": "+", "MINUS": "-", "STAR": "*",
    "SLASH": "/", "PERCENT": "%", "MATCH": "=~", "NOT_MATCH": "!~", "NOT_IN": "NOT IN",
}  # fmt: skip
_CHANGE_OPTIONS = {
    "exclusive", "ignoreErrors", "ignoreRevs", "keepNull", "mergeObjects", "overwrite", "overwriteMode",
    "refillIndexCaches", "waitForSync",
}  # fmt: skip
_INDEX_HINTS = {"indexHint", "forceIndexHint", "disableIndex", "maxProjections", "useCache", "lookahead"}


def to_nodes(tree: Tree[Token]) -> tuple[Node, ...]:
    """Returns the statements of a parsed query."""
    return _Nodes().transform(tree)


def _operator(token: Token) -> str:
    return _OPERATORS.get(token.type, token.type)


def _list(*items: Any) -> list[Any]:
    return [item for item in items if item is not None]


def _elements(*items: Any) -> list[Any]:
    return [item for item in items if item is not None and not isinstance(item, Token)]


def _check_options(word: Token | None, options: Node | None, allowed: set[str]) -> None:
    if word is None or options is None:
        return
    names = {name for name, _ in options[1]}
    if word.upper() != "OPTIONS" or not all(isinstance(name, str) and name in allowed for name in names):
        raise Unsupported(str(word), word.start_pos or 0)


@v_args(inline=True)
class _Nodes(Transformer[Token, Any]):
    def start(self, query: tuple[Node, ...]) -> tuple[Node, ...]:
        return query

    def query(self, *parts: Any) -> tuple[Node, ...]:
        *statements, _, distinct, expr = parts
        flat: list[Node] = []
        for statement in statements:
            flat.extend(statement if isinstance(statement, list) else [statement])
        if distinct is not None and not any(statement[0] in ("for", "collect") for statement in flat):
            raise Unsupported(str(distinct), distinct.start_pos or 0)
        return (*flat, ("return", distinct is not None, expr))

    def changing(self, *parts: Any) -> tuple[Node, ...]:
        *statements, word, distinct, expr = parts
        if word is not None:
            return self.query(*statements, word, distinct, expr)
        return (*self.query(*statements, None, None, None)[:-1], ("return", False, None))

    # Changes
    def change_whole(self, verb: Token, value: Node, into: Any, target: Any, word: Any, options: Any) -> Node:  # noqa: PLR0917
        if into is None:
            value, target = _taken_apart(verb, value)
        return _change(verb, value, value, target, word, options)

    def change_part(  # noqa: PLR0917 - one parameter for each part of the rule
        self, verb: Token, key: Node, _with: Any, value: Node, into: Any, target: Any, word: Any, options: Any
    ) -> Node:
        if into is None:
            value, target = _taken_apart(verb, value)
        return _change(verb, key, value, target, word, options)

    def target(self, name: Token) -> Node:
        return ("variable", str(name)) if name.type == "IDENT" else ("collection_bind", name[1:])

    def lets(self, *items: Any) -> list[Node]:
        return [("let", name, expr) for name, expr in _elements(*items)]

    # Statements
    def for_(self, _for: Token, name: Token, _in: Token, source: Node, word: Any, options: Any) -> Node:
        _check_options(word, options, _INDEX_HINTS)
        return ("for", str(name), source)

    def filter(self, _filter: Token, condition: Node) -> Node:
        return ("filter", condition)

    def let(self, _let: Token, *items: Any) -> list[Node]:
        return [("let", name, expr) for name, expr in _elements(*items)]

    def let_item(self, name: Token, _assign: Token, expr: Node) -> tuple[str, Node]:
        return (str(name), expr)

    def sort(self, _sort: Token, *keys: Any) -> Node:
        return ("sort", _elements(*keys))

    def sort_key(self, expr: Node, direction: Token | None) -> tuple[Node, bool]:
        return (expr, direction is not None and direction.type == "DESC")

    def limit(self, _limit: Token, first: Node, _comma: Any, second: Node | None = None) -> Node:
        return ("limit", None, first) if second is None else ("limit", first, second)

    def assigns(self, *items: Any) -> list[tuple[str, Node]]:
        return _elements(*items)

    def count_into(self, _with: Token, word: Token, _into: Token, name: Token) -> str:
        if word.upper() != "COUNT":
            raise Unsupported(f"qualifier '{word}', expecting 'COUNT'", word.start_pos or 0)
        return str(name)

    def aggregate(self, _aggregate: Token, *items: Any) -> list[tuple[str, str, list[Node]]]:
        return _elements(*items)

    def aggregate_item(self, name: Token, _assign: Any, function: str, _open: Any, args: Any, _close: Any) -> Any:
        return (str(name), function, args or [])

    def into(self, _into: Token, name: Token, _assign: Any, expr: Node | None) -> tuple[str, Node | None]:
        return (str(name), expr)

    def names(self, *names: Any) -> list[str]:
        return [str(name) for name in names if name.type == "IDENT"]

    def collect_count(self, _collect: Token, *parts: Any) -> Node:
        *groups, name, word, options = parts
        return self._collect(groups[0] if groups else [], [], None, None, name, word, options)

    def collect_aggregate(self, _collect: Token, *parts: Any) -> Node:
        *groups, aggregates, into, word, options = parts
        return self._collect(groups[0] if groups else [], aggregates, into, None, None, word, options)

    def collect(self, _collect: Token, groups: Any, into: Any, word: Any, options: Any) -> Node:
        return self._collect(groups, [], into, None, None, word, options)

    def collect_keep(  # noqa: PLR0917 - one parameter for each part of the rule
        self, _collect: Any, groups: Any, into: Any, keep: Token, names: Any, word: Any, opts: Any
    ) -> Node:
        if keep.upper() != "KEEP":
            raise Unsupported(f"qualifier '{keep}', expecting 'KEEP'", keep.start_pos or 0)
        return self._collect(groups, [], into, names, None, word, opts)

    @staticmethod
    def _collect(groups: Any, aggregates: Any, into: Any, keep: Any, count: Any, word: Any, options: Any) -> Node:  # noqa: PLR0917
        # Either method gives groups in the order of their keys; the server sorts after hashing.
        _check_options(word, options, {"method"})
        name, projection = into or (None, None)
        return ("collect", groups, aggregates, name, projection, keep, count)

    # Operators
    def binary(self, left: Node, operator: Token, right: Node) -> Node:
        return ("binary", _operator(operator), left, right)

    def binary_not(self, left: Node, _not: Token, operator: Token, right: Node) -> Node:
        return ("unary", "NOT", ("binary", _operator(operator), left, right))

    def quantified_op(self, left: Node, quantifier: Token, operator: Token, right: Node) -> Node:
        return ("quantified", quantifier.type, _operator(operator), left, right)

    def range_op(self, low: Node, _range: Token, high: Node) -> Node:
        return ("range", low, high)

    def unary_op(self, operator: Token, operand: Node) -> Node:
        return ("unary", _operator(operator), operand)

    def ternary(self, condition: Node, _question: Token, yes: Node, _colon: Token, no: Node) -> Node:
        return ("ternary", condition, yes, no)

    def ternary_short(self, condition: Node, _question: Token, _colon: Token, no: Node) -> Node:
        return ("ternary", condition, None, no)

    # Access
    def variable(self, name: Token) -> Node:
        return ("variable", str(name))

    def paren(self, _open: Token, expr: Node, _close: Token) -> Node:
        return ("paren", expr) if expr[0] == "access" else expr

    def subquery(self, _open: Token, query: Any, _close: Token) -> Node:
        return ("subquery", query)

    def subquery_argument(self, query: Any) -> Node:
        return ("subquery", query)

    def attribute(self, base: Node, _dot: Token, name: Token) -> Node:
        return _step(base, ("attribute", str(name)))

    def attribute_bind(self, base: Node, _dot: Token, bind: Node) -> Node:
        return _step(base, ("attribute_bind", bind[1]))

    def index(self, base: Node, _open: Token, expr: Node, _close: Token) -> Node:
        return _step(base, ("index", expr))

    def expand(self, base: Node, bracket: Token, stars: int, *clauses: Any) -> Node:
        condition, limit, projection, _ = clauses
        return _step(base, ("expand", stars, condition, limit, projection), bracket)

    def question(self, base: Node, bracket: Token, _question: Token, condition: Node | None, _close: Token) -> Node:
        return _step(base, ("question", condition), bracket)

    def stars(self, *stars: Token) -> int:
        return len(stars)

    def inline_filter(self, _filter: Token, condition: Node) -> Node:
        return condition

    def inline_limit(self, _limit: Token, first: Node, _comma: Any, second: Node | None) -> tuple[Node | None, Node]:
        return (None, first) if second is None else (first, second)

    def inline_return(self, _return: Token, expr: Node) -> Node:
        return expr

    # Calls
    def function(self, *names: Token) -> str:
        return "".join(names).upper()

    def arguments(self, *arguments: Any) -> list[Node]:
        return _elements(*arguments)

    def call(self, name: str, _open: Token, arguments: Any, _close: Token) -> Node:
        return ("call", name, arguments or [])

    def call_like(self, _like: Token, _open: Token, arguments: Any, _close: Token) -> Node:
        return ("call", "LIKE", arguments or [])

    # Literals
    def literal(self, token: Token) -> Node:
        if token.type == "STRING":
            return ("value", unescape(token))
        if token.type in ("INTEGER", "DOUBLE"):
            return ("value", number(str(token)))
        return ("value", {"NULL": None, "TRUE": True, "FALSE": False}[token.type])

    def bind(self, token: Token) -> Node:
        if token.type == "PARAMETER":
            return ("bind", token[1:])
        return ("collection_bind", token[1:])

    def array(self, *items: Any) -> Node:
        return ("array", _elements(*items))

    def object(self, *elements: Any) -> Node:
        return ("object", _elements(*elements))

    def element_short(self, name: Token) -> tuple[str, Node]:
        return (str(name), ("variable", str(name)))

    def element_named(self, name: Token, _colon: Token, expr: Node) -> tuple[str, Node]:
        return (unescape(name) if name.type == "STRING" else str(name), expr)

    def element_bind(self, bind: Node, _colon: Token, expr: Node) -> tuple[Node, Node]:
        return (bind, expr)

    def element_computed(self, _open: Token, name: Node, _close: Token, _colon: Token, expr: Node) -> tuple[Node, Node]:
        return (name, expr)


def _taken_apart(verb: Token, node: Node) -> tuple[Node, Node]:
    """Returns ``value`` and ``collection`` of what was read as ``value IN collection``."""
    if node[:2] != ("binary", "IN") or node[3][0] not in ("variable", "collection_bind"):
        raise Unsupported(f"{verb.type} command", verb.start_pos or 0)
    return node[2], node[3]


def _change(verb: Token, key: Node, value: Node, target: Node, word: Token | None, options: Node | None) -> Node:  # noqa: PLR0917
    _check_options(word, options, _CHANGE_OPTIONS)
    return ("change", verb.type, key, value, target, dict(options[1]) if options else {})


def _step(base: Node, step: Node, token: Token | None = None) -> Node:
    steps = base[2] if base[0] == "access" else ()
    # What follows a projection or a question mark would apply to a part of the server's tree that is not ours.
    if any(done[0] == "question" or (done[0] == "expand" and done[4] is not None) for done in steps):
        raise Unsupported("[", (token.start_pos if token else None) or 0)
    return ("access", base[1] if base[0] == "access" else base, (*steps, step))
