"""The PostgreSQL of another application, read only: its address, and one reading in which all is of the same moment."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cdp_platform.errors import ConfigurationError, SourceError
from cdp_platform.warehouse import waits
from cdp_platform.warehouse.connection import NETWORK_LIMITS, application, refusal


@dataclass(frozen=True)
class Address:
    """The address of another application's database. Its text shows no password.

    Attributes:
        name: what people call the database, such as ``tracker's database``.
        variable: the variable that has its URL.
    """

    name: str
    variable: str
    conninfo: Mapping[str, Any] = field(repr=False)

    @property
    def where(self) -> str:
        """Server and database: HOST:PORT/DATABASE."""
        return f"{self.conninfo['host']}:{self.conninfo.get('port', 5432)}/{self.conninfo['dbname']}"

    @property
    def user(self) -> str:
        """The role."""
        return self.conninfo.get("user", "nobody")


def address(url: str, *, name: str, variable: str) -> Address:
    """The parts of a URL.

    Raises:
        ConfigurationError: it is not a URL of a database. The message quotes nothing: any part may belong to the
            password.
    """
    try:
        found = conninfo_to_dict(url)
    except psycopg.Error:
        found = {}
    named = [str(found.get("host") or ""), str(found.get("dbname") or "")]
    # An unescaped @ or / in the password moves pieces of the password into the other parts.
    if not all(named) or "@" in "".join(named) or not str(found.get("port", 5432)).replace(",", "").isdigit():
        raise ConfigurationError(
            f"The URL of the {name} is not usable. {variable} has to be postgresql://USER:PASSWORD@HOST:PORT/DATABASE,"
            " with @ : / % # ? in the password written as %40 %3A %2F %25 %23 %3F."
        )
    return Address(name, variable, found)


@contextmanager
def reading(where: Address) -> Generator[psycopg.Connection]:
    """Connect, and read in one read-only transaction that sees one moment.

    Raises:
        SourceError: no connection.
    """

    def connect_once() -> psycopg.Connection:
        # The URL's own options win.
        ours = {"application_name": application(), **NETWORK_LIMITS}
        return psycopg.connect(make_conninfo("", **{**ours, **where.conninfo}))

    try:
        connection = connect_once()
    except psycopg.Error as error:
        said = refusal(error) if isinstance(error, psycopg.OperationalError) else type(error).__name__
        raise SourceError(
            f"The {where.name} {where.where} does not let {where.user} in: {said}. Is the server up, and is"
            f" {where.variable} right?",
            transient=True,
        ) from None
    waits.watch(connection, connect_once)
    with connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield connection


@contextmanager
def explained(where: Address, *, rights: str) -> Generator[None]:
    """Turn errors of the other database into a SourceError that says what to do, in words without values.

    Args:
        where: the database.
        rights: what its role has to be given, as the end of a sentence.
    """
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise SourceError(
            f"The {where.name} {where.where} does not let {where.user} read {rights}", transient=False
        ) from error
    except psycopg.OperationalError as error:
        raise SourceError(
            f"The {where.name} {where.where} broke off the reading ({_kind(error)}). Nothing was written; the next run"
            " reads it again.",
            transient=True,
        ) from error
    except psycopg.Error as error:
        # PostgreSQL's own words may hold values.
        raise SourceError(
            f"The {where.name} {where.where} refused the reading ({_kind(error)}). Nothing was written; its log says"
            " why.",
            transient=False,
        ) from error


def _kind(error: psycopg.Error) -> str:
    return f"{type(error).__name__}, {error.sqlstate}" if error.sqlstate else type(error).__name__
