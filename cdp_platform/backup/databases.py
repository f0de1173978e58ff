"""The databases of a backup, and the roles that read and write them."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from cdp_platform.errors import ConfigurationError, UnavailableError
from cdp_platform.settings import PostgresSettings
from cdp_platform.warehouse.connection import NETWORK_LIMITS, open_connection, refusal
from cdp_platform.warehouse.statements import statement

_ROLE = "CREATE ROLE {role} LOGIN BYPASSRLS PASSWORD '...' IN ROLE pg_read_all_data"


def warehouse(settings: PostgresSettings, *, user: str, password: str) -> dict[str, Any]:
    """How PostgreSQL's programs connect to the warehouse."""
    address = {"host": settings.db_host, "port": settings.db_port, "dbname": settings.db_name}
    return {**address, "user": user, "password": password}


def dagster(conninfo: str) -> dict[str, Any]:
    """How PostgreSQL's programs connect to Dagster's database, as its owner."""
    return dict(conninfo_to_dict(conninfo))


@contextmanager
def as_reader(settings: PostgresSettings) -> Generator[psycopg.Connection]:
    """Connect to the warehouse as the role that reads all tenants.

    Raises:
        ConfigurationError: there is no such role, it sees less than everything or may do more than read; has the SQL.
    """
    role = _ROLE.format(role=settings.backup_user)
    try:
        connection = open_connection(
            settings, user=settings.backup_user, password=settings.backup_password.get_secret_value()
        )
    except UnavailableError as error:
        raise ConfigurationError(
            f"{error} PGSQL_BACKUP_USER and PGSQL_BACKUP_PASSWORD name the role that backups read as. An administrator "
            f"makes it once: {role};"
        ) from error
    with connection:
        flaws = connection.execute(statement("backup", "backup_role")).fetchall()
        if flaws:
            what = "; ".join(f"it {each} ({mend})" for each, mend in flaws)
            raise ConfigurationError(f"PGSQL_BACKUP_USER={settings.backup_user} cannot make a backup: {what}.")
        connection.execute("SET row_security = off")
        _without_limits(connection)
        yield connection


@contextmanager
def as_owner(settings: PostgresSettings) -> Generator[psycopg.Connection]:
    """Connect to the warehouse as the role that owns the tables; raises ConfigurationError if none is configured."""
    if not settings.owner_user:
        raise ConfigurationError(
            "`cdp restore` needs the role that owns the tables: set PGSQL_OWNER_USER and PGSQL_OWNER_PASSWORD."
        )
    password = settings.owner_password.get_secret_value()
    with open_connection(settings, user=settings.owner_user, password=password) as connection:
        _without_limits(connection)
        yield connection


@contextmanager
def of_dagster(address: Mapping[str, Any]) -> Generator[psycopg.Connection]:
    """Connect to Dagster's database; raises UnavailableError if it does not answer."""
    try:
        connection = psycopg.connect(**{**NETWORK_LIMITS, **address}, autocommit=True)
    except psycopg.OperationalError as error:
        raise UnavailableError(
            f"Dagster's database {address.get('dbname')} does not let {address.get('user')} in: {refusal(error)}. Are "
            "the DAGSTER_PG_ variables right?"
        ) from error
    with connection:
        connection.execute("SET timezone = 'UTC'")
        _without_limits(connection)
        yield connection


def _without_limits(connection: psycopg.Connection) -> None:
    """A snapshot is held as long as the dump takes, and the rows of a large table are counted for long."""
    for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute("SELECT set_config(%s, '0', false)", [name])
