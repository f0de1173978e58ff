"""The databases and roles that the platform expects to find in the sandbox's PostgreSQL."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import sql

from cdp_sandbox.postgres import SUPERUSER
from cdp_sandbox.processes import HOST, SandboxError

WAREHOUSE_DATABASE = "warehouse"
WAREHOUSE_OWNER = "cdp_owner"
PLATFORM_ROLE = "cdp_app"
"""The role that the platform works as. `cdp migrate` makes it."""
BACKUP_ROLE = "cdp_backup"
"""The role that `cdp backup` reads as."""

DAGSTER_DATABASE = "dagster"
DAGSTER_ROLE = "dagster"


def provide(port: int, passwords: Mapping[str, str]) -> None:
    """Create the databases that are missing, and the roles except the one that the platform works as.

    Args:
        port: Of the server.
        passwords: By role.

    Raises:
        SandboxError: The server does not know the superuser's password.
    """
    try:
        server = _enter(port, "postgres", passwords)
    except psycopg.OperationalError as error:
        raise SandboxError(
            "the sandbox's PostgreSQL does not know the password in .sandbox/credentials.json: run 'cdp sandbox reset'"
        ) from error
    with server:
        roles = {name for (name,) in server.execute("SELECT rolname FROM pg_roles")}
        databases = {name for (name,) in server.execute("SELECT datname FROM pg_database")}
        for role, rights in (
            (WAREHOUSE_OWNER, "LOGIN CREATEROLE"),
            (DAGSTER_ROLE, "LOGIN"),
            (BACKUP_ROLE, "LOGIN BYPASSRLS IN ROLE pg_read_all_data"),
        ):
            if role not in roles:
                create = sql.SQL("CREATE ROLE {} {} PASSWORD {}")
                server.execute(create.format(sql.Identifier(role), sql.SQL(rights), passwords[role]))
        for database, owner in ((WAREHOUSE_DATABASE, WAREHOUSE_OWNER), (DAGSTER_DATABASE, DAGSTER_ROLE)):
            if database not in databases:
                create = sql.SQL("CREATE DATABASE {} OWNER {}")
                server.execute(create.format(sql.Identifier(database), sql.Identifier(owner)))
    with _enter(port, WAREHOUSE_DATABASE, passwords) as connection:
        # Only a superuser may add it: the wheel's build does not mark it as trusted.
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")


def warehouse(environment: Mapping[str, str]) -> psycopg.Connection:
    """Connect to the warehouse that these variables name, as the role that the platform works as, in no transaction."""
    return psycopg.connect(
        host=environment["PGSQL_DB_HOST"],
        port=environment["PGSQL_DB_PORT"],
        dbname=environment["PGSQL_DB_NAME"],
        user=environment["PGSQL_DB_USER"],
        password=environment["PGSQL_DB_PASSWORD"],
        autocommit=True,
    )


def _enter(port: int, database: str, passwords: Mapping[str, str]) -> psycopg.Connection:
    return psycopg.connect(
        host=HOST, port=port, user=SUPERUSER, password=passwords[SUPERUSER], dbname=database, autocommit=True
    )


@contextmanager
def acting_for(connection: psycopg.Connection, tenant_id: str) -> Generator[None]:
    """One transaction that sees and writes rows of this tenant only. Every user of the warehouse has to say whose."""
    with connection.transaction():
        connection.execute("SELECT set_config('app.tenant_id', %s, true)", [tenant_id])
        yield
