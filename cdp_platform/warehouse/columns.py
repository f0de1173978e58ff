"""Descriptions of each table and column of the warehouse, read from the comments in the migrations.

Dagster shows this with the assets, also before there is a database. `columns.json` is read from a migrated database and
written by `make columns`; a test compares the two, so the migrations stay the only place where a comment is written.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from cdp_platform.warehouse.statements import statement

FILE = Path(__file__).with_name("columns.json")


@dataclass(frozen=True)
class Column:
    """One column of a table or view.

    Attributes:
        name: as in the table.
        type: as PostgreSQL spells it.
        nullable: whether the table accepts NULL; always true for a view.
        description: the comment on the column.
    """

    name: str
    type: str
    nullable: bool
    description: str | None


def columns_of(table: str) -> list[Column]:
    """The columns of a table or view in their order.

    Args:
        table: with its schema, such as ``customers.cdp_profiles``.

    Raises:
        KeyError: no migration makes such a table, or `make columns` has to be run.
    """
    return [Column(**column) for column in _described()[table]]


def describe(connection: psycopg.Connection) -> dict[str, list[dict[str, Any]]]:
    """Columns by table and view, read from a migrated database in the form of the file."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table, *column in connection.execute(statement("warehouse", "columns")):
        found.setdefault(table, []).append(dict(zip(("name", "type", "nullable", "description"), column, strict=True)))
    return found


@cache
def _described() -> dict[str, list[dict[str, Any]]]:
    return json.loads(FILE.read_text(encoding="utf-8"))
