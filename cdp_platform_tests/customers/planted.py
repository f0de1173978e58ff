"""Searching the whole warehouse for texts that a test planted."""

from collections.abc import Iterable
from typing import Any

import psycopg

from cdp_platform_tests.conftest import Warehouse


def tables(connection: psycopg.Connection) -> list[str]:
    """Every table of the warehouse but alembic's."""
    rows = connection.execute(
        "SELECT format('%I.%I', n.nspname, c.relname)"
        " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema)' AND c.relname <> 'alembic_version'"
        " ORDER BY 1"
    ).fetchall()
    return [table for (table,) in rows]


def found(warehouse: Warehouse, words: Iterable[str]) -> set[tuple[str, str]]:
    """(table, word) of each table in which a row has one of these words in any column, also as bytes."""
    needles = [(word, needle.lower()) for word in words for needle in (word, word.encode().hex())]
    if not needles:
        return set()
    with warehouse.superuser() as connection:
        query: Any = "WITH needle AS MATERIALIZED (SELECT * FROM unnest(%s::text[], %s::text[]) AS n (word, needle)) "
        query += " UNION ".join(
            f"SELECT '{table}', n.word FROM {table} AS t JOIN needle AS n ON strpos(lower(t::text), n.needle) > 0"
            for table in tables(connection)
        )
        return set(connection.execute(query, list(map(list, zip(*needles, strict=True)))).fetchall())
