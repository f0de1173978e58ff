"""The tracker application's own PostgreSQL, read only: five relations in its schema ``referrals``.

They are tables or views, with the names and columns of the warehouse's tables of that schema (without ``erased_at``),
and a role that may read them is enough. Ids may be of any type that has a text.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cdp_platform.errors import ConfigurationError, SourceError
from cdp_platform.referrals.tracker_relations import RELATIONS, Relation
from cdp_platform.warehouse import waits
from cdp_platform.warehouse.connection import NETWORK_LIMITS, application, refusal

Buffer: TypeAlias = bytes | bytearray | memoryview

VARIABLE = "REFERRAL_DATABASE_URL"

# Somebody alters a table: better to come again than to wait in the way of all who read it.
_LOCK_SECONDS = 30
# Reading all events of a tenant for the first time; a reader that has stopped must not keep rows from being cleaned up.
_STATEMENT_SECONDS = 3600
_IDLE_SECONDS = 900
_HOW = (
    f"{VARIABLE} has to be postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with @ : / % # ? in the password written as"
    " %40 %3A %2F %25 %23 %3F."
)


@dataclass(frozen=True)
class Address:
    """Where the tracker's database is. Shows no password."""

    conninfo: Mapping[str, Any] = field(repr=False)

    @property
    def where(self) -> str:
        """Server and database, as people write it."""
        return f"{self.conninfo['host']}:{self.conninfo.get('port', 5432)}/{self.conninfo['dbname']}"

    @property
    def user(self) -> str:
        """The role."""
        return self.conninfo.get("user", "nobody")


def address(tracker_url: str) -> Address:
    """What a URL says.

    Raises:
        ConfigurationError: it is none. Says nothing of what it is: any part of it may be a piece of the password.
    """
    try:
        found = conninfo_to_dict(tracker_url)
    except psycopg.Error:
        found = {}
    named = [str(found.get("host") or ""), str(found.get("dbname") or "")]
    # An @ or / in the password that is not escaped moves pieces of it into the other parts.
    if not all(named) or "@" in "".join(named) or not str(found.get("port", 5432)).replace(",", "").isdigit():
        raise ConfigurationError(f"The URL of the tracker's database is not usable. {_HOW}")
    return Address(found)


class TrackerDatabase:
    """One reading of the tracker: everything is of one moment. Every error is a SourceError that says where."""

    def __init__(self, connection: psycopg.Connection, where: Address) -> None:
        self._connection = connection
        self._where = where
        with self._explained():
            # Of the transaction and not of the session: poolers hand sessions on, and refuse start-up options.
            row = connection.execute(
                "SELECT now(), set_config('timezone', 'UTC', true), set_config('client_encoding', 'UTF8', true),"
                " set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true),"
                " set_config('idle_in_transaction_session_timeout', %s, true)",
                [f"{_LOCK_SECONDS}s", f"{_STATEMENT_SECONDS}s", f"{_IDLE_SECONDS}s"],
            ).fetchone()
        assert row is not None  # noqa: S101 (one row always)
        self.now: datetime = row[0]
        """The tracker's clock at that moment."""

    @property
    def where(self) -> str:
        """Server and database, as people write it."""
        return self._where.where

    def query(self, statement: sql.Composed) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        with self._explained():
            return self._connection.execute(statement).fetchall()

    def count(self, relation: Relation, tenant_id: str) -> int:
        """How many rows a tenant has in a relation."""
        statement = sql.SQL("SELECT count(*) FROM {} WHERE tenant_id = {}").format(
            relation.table, sql.Literal(tenant_id)
        )
        return self.query(statement)[0][0]

    def copy(self, relation: Relation, tenant_id: str, condition: sql.Composable) -> Generator[Buffer]:
        """A tenant's rows of a relation for which the condition holds, as PostgreSQL's binary COPY, piece by piece."""
        columns = sql.SQL(", ").join(
            sql.SQL("{}::{}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in relation.columns.items()
        )
        statement = sql.SQL(
            "COPY (SELECT {columns} FROM {table} WHERE tenant_id = {tenant} AND ({condition}))"
            " TO STDOUT (FORMAT BINARY)"
        ).format(columns=columns, table=relation.table, tenant=sql.Literal(tenant_id), condition=condition)
        with (
            self._explained(),
            self._connection.cursor() as cursor,
            cursor.copy(statement) as pieces,
        ):
            yield from pieces

    def check(self) -> None:
        """Make sure that every relation and column is there.

        Raises:
            SourceError: names all that are missing.
        """
        rows = self.query(
            sql.SQL(
                "SELECT c.relname, a.attname FROM pg_catalog.pg_class AS c"
                " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
                " JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
                " WHERE n.nspname = 'referrals' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
            ).format()
        )
        there = set(rows)
        relations = {relation for relation, _ in there}
        missing = [
            f"referrals.{relation.name}" if column is None else f"referrals.{relation.name}.{column}"
            for relation in RELATIONS
            for column in (["tenant_id", *relation.columns] if relation.name in relations else [None])
            if (relation.name, column) not in there
        ]
        if missing:
            raise SourceError(
                f"The tracker's database {self._where.where} has no {', '.join(missing)}. Let it have a table or view"
                f" of that name, or point {VARIABLE} at another database.",
                transient=False,
            )

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except psycopg.errors.InsufficientPrivilege as error:
            raise SourceError(
                f"The tracker's database {self._where.where} does not let {self._where.user} read the schema referrals:"
                " GRANT USAGE on the schema and SELECT on its five relations to that role.",
                transient=False,
            ) from error
        except psycopg.OperationalError as error:
            raise SourceError(
                f"The tracker's database {self._where.where} broke off the reading ({_kind(error)}). Nothing was taken;"
                " the next run reads it again.",
                transient=True,
            ) from error
        except psycopg.Error as error:
            # PostgreSQL's own words may hold values.
            raise SourceError(
                f"The tracker's database {self._where.where} refused the reading ({_kind(error)}). Nothing was taken;"
                " its log says why.",
                transient=False,
            ) from error


@contextmanager
def open_tracker(tracker_url: str) -> Generator[TrackerDatabase]:
    """Connect, and read in one transaction that sees one moment and can write nothing.

    Raises:
        ConfigurationError: the URL is not usable.
        SourceError: no connection.
    """
    found = address(tracker_url)

    def connect_once() -> psycopg.Connection:
        # Whatever the URL itself does not say.
        ours = {"application_name": application(), **NETWORK_LIMITS}
        return psycopg.connect(make_conninfo("", **{**ours, **found.conninfo}))

    try:
        connection = connect_once()
    except psycopg.Error as error:
        said = refusal(error) if isinstance(error, psycopg.OperationalError) else type(error).__name__
        raise SourceError(
            f"The tracker's database {found.where} does not let {found.user} in: {said}. Is the server up, and is"
            f" {VARIABLE} right?",
            transient=True,
        ) from None
    waits.watch(connection, connect_once)
    with connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield TrackerDatabase(connection, found)


def _kind(error: psycopg.Error) -> str:
    return f"{type(error).__name__}, {error.sqlstate}" if error.sqlstate else type(error).__name__
