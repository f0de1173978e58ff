"""The tracker application's own PostgreSQL, read only: five relations in its schema ``referrals``.

They are tables or views, with the names and columns of the warehouse's tables of that schema (without ``erased_at``).
The role needs the right to read them and no other. Ids may be of any type that can be cast to text.
"""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

from cdp_platform.errors import SourceError
from cdp_platform.referrals.tracker_relations import RELATIONS, Relation
from cdp_platform.warehouse import other_database
from cdp_platform.warehouse.other_database import Address
from cdp_platform.warehouse.statements import statement

Buffer: TypeAlias = bytes | bytearray | memoryview

VARIABLE = "REFERRAL_DATABASE_URL"

# While somebody alters a table, a reader that waits longer blocks all other readers; the next run tries again.
_LOCK_SECONDS = 30
# Long enough to read all events of a tenant for the first time.
_STATEMENT_SECONDS = 3600
# A reader that stopped must not keep the tracker's server from cleaning up rows.
_IDLE_SECONDS = 900


def address(tracker_url: str) -> Address:
    """The parts of a URL; raises ConfigurationError if it is not usable."""
    return other_database.address(tracker_url, name="tracker's database", variable=VARIABLE)


class TrackerDatabase:
    """One reading of the tracker, all from the same moment. Every error is a SourceError that names the server."""

    def __init__(self, connection: psycopg.Connection, where: Address) -> None:
        self._connection = connection
        self._where = where
        with self._explained():
            row = connection.execute(
                statement("referrals", "tracker_session"),
                {
                    "lock": f"{_LOCK_SECONDS}s",
                    "statement": f"{_STATEMENT_SECONDS}s",
                    "idle": f"{_IDLE_SECONDS}s",
                },
            ).fetchone()
        assert row is not None  # noqa: S101 (one row always)
        self.now: datetime = row[0]
        """The tracker's clock at that moment."""

    @property
    def where(self) -> str:
        """Server and database: HOST:PORT/DATABASE."""
        return self._where.where

    def query(self, text: sql.SQL | sql.Composed) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        with self._explained():
            return self._connection.execute(text).fetchall()

    def count(self, relation: Relation, tenant_id: str) -> int:
        """How many rows a tenant has in a relation."""
        counted = sql.SQL("SELECT count(*) FROM {} WHERE tenant_id = {}")
        return self.query(counted.format(relation.table, sql.Literal(tenant_id)))[0][0]

    def copy(self, relation: Relation, tenant_id: str, condition: sql.Composable) -> Generator[Buffer]:
        """A tenant's rows of a relation for which the condition holds, as pieces of PostgreSQL's binary COPY."""
        columns = sql.SQL(", ").join(
            sql.SQL("{}::{}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in relation.columns.items()
        )
        text = sql.SQL(
            "COPY (SELECT {columns} FROM {table} WHERE tenant_id = {tenant} AND ({condition}))"
            " TO STDOUT (FORMAT BINARY)"
        ).format(columns=columns, table=relation.table, tenant=sql.Literal(tenant_id), condition=condition)
        with (
            self._explained(),
            self._connection.cursor() as cursor,
            cursor.copy(text) as pieces,
        ):
            yield from pieces

    def check(self) -> None:
        """Make sure that every relation and column is there.

        Raises:
            SourceError: names all that are missing.
        """
        there = set(self.query(statement("referrals", "tracker_columns")))
        relations = {relation for relation, _ in there}
        missing = [
            f"referrals.{relation.name}" if column is None else f"referrals.{relation.name}.{column}"
            for relation in RELATIONS
            for column in (["tenant_id", *relation.columns] if relation.name in relations else [None])
            if (relation.name, column) not in there
        ]
        if missing:
            raise SourceError(
                f"The tracker's database {self._where.where} has no {', '.join(missing)}. Make a table or view"
                f" of that name there, or point {VARIABLE} at another database.",
                transient=False,
            )

    def _explained(self) -> AbstractContextManager[None]:
        return other_database.explained(
            self._where,
            rights="the schema referrals: GRANT USAGE on the schema and SELECT on its five relations to that role.",
        )


@contextmanager
def open_tracker(tracker_url: str) -> Generator[TrackerDatabase]:
    """Connect, and read in one read-only transaction that sees one moment.

    Raises:
        ConfigurationError: the URL is not usable.
        SourceError: no connection.
    """
    found = address(tracker_url)
    with other_database.reading(found) as connection:
        yield TrackerDatabase(connection, found)
