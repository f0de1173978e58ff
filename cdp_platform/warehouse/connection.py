"""Connections to the warehouse, and the tenant they act for.

Every statement on a tenant's data runs inside `tenant_transaction`: row-level security then shows and accepts that
tenant's rows only. Outside of it the policies show nothing, so a forgotten context loses no data to a stranger.
"""

from collections.abc import Generator
from contextlib import contextmanager

import orjson
import psycopg
from psycopg import sql
from psycopg.types.json import set_json_dumps

from cdp_platform.errors import ConfigurationError, UnavailableError
from cdp_platform.settings import PostgresSettings

# One round trip tells everything that decides whether this role may run the platform: row-level security binds neither
# a superuser nor BYPASSRLS, an owner could switch it off, and a member may become any of them by SET ROLE.
_TOO_MIGHTY = """
SELECT rolname, CASE WHEN rolsuper THEN 'a superuser' WHEN rolbypassrls THEN 'BYPASSRLS' ELSE 'owner of tables' END
FROM pg_roles AS role
WHERE pg_has_role(current_user, role.oid, 'MEMBER')
  AND (rolsuper OR rolbypassrls
       OR EXISTS (SELECT FROM pg_class WHERE relowner = role.oid AND relpersistence <> 't'))
ORDER BY rolname = current_user DESC, rolsuper DESC LIMIT 1
"""


def open_connection(settings: PostgresSettings, *, user: str, password: str) -> psycopg.Connection:
    """Open an autocommitting connection in UTC as the given role.

    Raises:
        UnavailableError: the server cannot be reached or refuses the role; says which variables to look at.
    """
    try:
        connection = psycopg.connect(
            host=settings.db_host,
            port=settings.db_port,
            dbname=settings.db_name,
            user=user,
            password=password,
            autocommit=True,
            connect_timeout=10,
            application_name="cdp_platform",
            options="-c timezone=UTC",
        )
        # Takes JSON values and, as orjson.Fragment, documents that are encoded already.
        set_json_dumps(orjson.dumps, connection)
    except psycopg.OperationalError as error:
        raise UnavailableError(
            f"PostgreSQL at {settings.db_host}:{settings.db_port}/{settings.db_name} does not let {user} in: "
            f"{refusal(error)}. Is the server up (`cdp sandbox status` for the embedded one), was `cdp migrate` run, "
            "and are the PGSQL_ variables right?"
        ) from error
    return connection


def refusal(error: psycopg.OperationalError) -> str:
    """Why there is no connection, in one line."""
    # The last of several attempts; indented lines below it are libpq's guesses.
    return [line for line in str(error).strip().splitlines() if not line[:1].isspace()][-1].rstrip(".")


@contextmanager
def connect(settings: PostgresSettings) -> Generator[psycopg.Connection]:
    """Connect as the platform's own role, which owns nothing and is bound by row-level security.

    Raises:
        UnavailableError: no connection.
        ConfigurationError: a role that row-level security would not bind.
    """
    with open_connection(
        settings, user=settings.db_user, password=settings.db_password.get_secret_value()
    ) as connection:
        found = connection.execute(_TOO_MIGHTY).fetchone()
        if found is not None:
            role, power = found
            how = "is" if role == settings.db_user else f"may become {role},"
            raise ConfigurationError(
                f"PGSQL_DB_USER={settings.db_user} {how} {power}, so row-level security would not separate tenants. "
                "Use a role that owns nothing: `cdp migrate` makes one when PGSQL_OWNER_USER may create roles."
            )
        yield connection


@contextmanager
def tenant_transaction(connection: psycopg.Connection, tenant_id: str) -> Generator[psycopg.Connection]:
    """One transaction that sees and writes rows of this tenant only; never inside that of another tenant."""
    with connection.transaction():
        row = connection.execute(
            "SELECT nullif(current_setting('app.tenant_id', true), ''), set_config('app.tenant_id', %s, true)",
            [tenant_id],
        ).fetchone()
        before = row[0] if row else None
        if before not in {None, tenant_id}:
            raise RuntimeError(f"this transaction acts for tenant {before}, not for {tenant_id}")
        yield connection


@contextmanager
def single_flight(connection: psycopg.Connection, work: str, *, wait_seconds: float) -> Generator[bool]:
    """Hold the advisory lock of this work for the connection's session; yields whether it was free in time.

    A session lock, because the work spans many transactions; a crashed session frees it by itself.
    """
    key = sql.SQL("hashtextextended({}, 0)").format(sql.Literal(f"cdp_platform:{work}"))
    try:
        with connection.transaction():
            connection.execute(
                sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{int(wait_seconds * 1000)}ms"))
            )
            connection.execute(sql.SQL("SELECT pg_advisory_lock({})").format(key))
    except psycopg.errors.LockNotAvailable:
        yield False
        return
    try:
        yield True
    finally:
        if not connection.closed:
            connection.execute(sql.SQL("SELECT pg_advisory_unlock({})").format(key))
