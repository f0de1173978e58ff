"""Values in SQL, such that a statement which holds them can have parameters as well.

psycopg takes every ``%`` of a statement with parameters for a placeholder, also one inside a literal.
"""

from collections.abc import Sequence

from psycopg import sql
from psycopg.abc import AdaptContext


class Value(sql.Literal):
    """A literal whose text has no ``%``. It is a constant to the planner, which builds a table of a long list."""

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        """The literal as psycopg quotes it, with an escape in place of each ``%``."""
        quoted = super().as_bytes(context).strip()
        if b"%" not in quoted:
            return quoted
        # Without an E there is no backslash in it, and then both kinds of literals mean the same.
        return (quoted if quoted.startswith(b"E") else b"E" + quoted).replace(b"%", b"\\x25")


def literal(value: str | float) -> sql.Composable:
    """A text or a number."""
    return Value(value)


def literals(values: Sequence[str]) -> sql.Composable:
    """An array of texts."""
    return sql.SQL("{}::text[]").format(Value(list(values)))
