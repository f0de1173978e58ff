"""Values in SQL, such that a statement which holds them can have parameters as well.

psycopg takes every ``%`` of a statement with parameters for a placeholder, also one inside a literal.
"""

from collections.abc import Sequence

from psycopg import sql


def literal(value: str | float) -> sql.Composable:
    """A text or a number."""
    if isinstance(value, str) and "%" in value:
        return sql.SQL("convert_from(decode({}, 'hex'), 'UTF8')").format(sql.Literal(value.encode().hex()))
    return sql.Literal(value)


def literals(values: Sequence[str]) -> sql.Composable:
    """An array of texts."""
    if any("%" in value for value in values):
        return sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(map(literal, values)))
    return sql.SQL("{}::text[]").format(sql.Literal(list(values)))
