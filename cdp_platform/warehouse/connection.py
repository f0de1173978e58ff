"""Connections to the warehouse, and the tenant they act for.

Every statement on a tenant's data runs inside `tenant_transaction`: row-level security then shows and accepts that
tenant's rows only. Outside of it the policies show no rows, so code that forgets the tenant shows nothing to the wrong
one.

Every wait on a connection has a limit: connecting, statements, locks, idle transactions, and a server or client that
has vanished. A log line says who is waited for after a few seconds (`waits`).
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import orjson
import psycopg
from psycopg import sql
from psycopg.types.json import set_json_dumps

from cdp_platform.deadline import within
from cdp_platform.errors import BusyError, ConfigurationError, UnavailableError
from cdp_platform.settings import PostgresSettings
from cdp_platform.warehouse import waits
from cdp_platform.warehouse.statements import statement

# For any PostgreSQL. A running server answers a new connection soon; a server that vanishes is noticed within a minute.
NETWORK_LIMITS: Mapping[str, Any] = {
    "connect_timeout": 8,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# Limit for all addresses of a host together, and for the resolution of its name, which has no limit of its own.
_CONNECT_SECONDS = 12.0
# As long as the build of a large index: writers of vectors wait for it.
LOCK_SECONDS = 900
# A transaction may wait for an outside system through all attempts of a call.
_IDLE_SECONDS = 900
# The same on the server's side: locks of a killed process or a lost machine are released within a minute.
_SERVER_LIMITS = {
    "idle_in_transaction_session_timeout": f"{_IDLE_SECONDS}s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "10s",
}

_RESTORE_MARK = "restore under way: "

UNNAMED = "cdp_platform"
_application = UNNAMED


def act_as(application: str) -> None:
    """Name what this process does: connections opened from now on carry the name, for those who wait for them."""
    global _application  # noqa: PLW0603 (a property of the process)
    _application = application


def application() -> str:
    """The work of this process, such as ``cdp sync``."""
    return _application


def limits(
    settings: PostgresSettings,
    *,
    statement_seconds: int | None = None,
    lock_seconds: int | None = None,
    search_path: str | None = None,
) -> dict[str, Any]:
    """Connection parameters that limit every wait.

    Args:
        settings: contain the default limit of a statement.
        statement_seconds: another limit of a statement.
        lock_seconds: another limit of the wait for a lock.
        search_path: where names without a schema are looked up.
    """
    server = {
        "timezone": "UTC",
        "statement_timeout": f"{statement_seconds or settings.statement_timeout}s",
        "lock_timeout": f"{lock_seconds or LOCK_SECONDS}s",
        **_SERVER_LIMITS,
        **({"search_path": search_path} if search_path else {}),
    }
    # PostgreSQL cuts longer names, even in the middle of a character.
    name = _application.encode("ascii", "replace")[:63].decode()
    options = " ".join(f"-c {setting}={value}" for setting, value in server.items())
    return {**NETWORK_LIMITS, "application_name": name, "options": options}


# Number of a role's rights that the message lists; there can be one for every table.
_MOST_SHOWN = 5


class _Connection(psycopg.Connection):
    """A connection that closes when anything but Ctrl-C interrupts a statement, as Dagster interrupts a run.

    psycopg cancels a statement for KeyboardInterrupt only. Otherwise the connection would still be busy. The cleanup
    after the interruption would fail on it, and that failure would replace the interruption.
    """

    def wait(self, *args: Any, **kwargs: Any) -> Any:
        """As psycopg's."""
        try:
            return super().wait(*args, **kwargs)
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException:
            if self.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                with suppress(psycopg.Error):
                    self.cancel_safe(timeout=5.0)
                self.close()
            raise


def open_connection(settings: PostgresSettings, *, user: str, password: str) -> psycopg.Connection:
    """Open an autocommitting connection in UTC as the given role.

    Raises:
        UnavailableError: the server cannot be reached or refuses the role; says which variables to look at.
    """

    def connect_once() -> psycopg.Connection:
        return _Connection.connect(
            host=settings.db_host,
            port=settings.db_port,
            dbname=settings.db_name,
            user=user,
            password=password,
            autocommit=True,
            **limits(settings),
        )

    try:
        connection = within(_CONNECT_SECONDS, connect_once, late=lambda: psycopg.OperationalError("no answer in time"))
        # Encodes JSON values, and accepts documents that are encoded already as orjson.Fragment.
        set_json_dumps(orjson.dumps, connection)
        resolve_names_safely(connection)
    except psycopg.OperationalError as error:
        raise UnavailableError(
            f"PostgreSQL at {settings.db_host}:{settings.db_port}/{settings.db_name} does not let {user} in: "
            f"{refusal(error)}. Is the server up (`cdp sandbox status` for the embedded one), was `cdp migrate` run, "
            "and are the PGSQL_ variables right?"
        ) from error
    waits.watch(connection, connect_once)
    return connection


def resolve_names_safely(connection: psycopg.Connection) -> str:
    """Look names up in PostgreSQL's own schema, then in the one that has pgvector, then among temporary tables.

    With the usual search path, a role that may create in `public` could put a function or operator there that
    PostgreSQL prefers to its own, and it would run with the rights of this connection.

    Returns:
        The search path.
    """
    row = connection.execute(statement("warehouse", "search_path")).fetchone()
    assert row is not None  # noqa: S101 (one row always)
    return row[0]


def refusal(error: psycopg.OperationalError) -> str:
    """Why there is no connection, in one line."""
    # The last line is about the last of several attempts. Indented lines are libpq's guesses.
    lines = [line for line in str(error).strip().splitlines() if not line[:1].isspace()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


@contextmanager
def connect(settings: PostgresSettings, *, while_restoring: bool = False) -> Generator[psycopg.Connection]:
    """Connect as the platform's own role, which owns no tables and is bound by row-level security.

    Args:
        settings: of the warehouse.
        while_restoring: for the restore itself, before anybody else is let in.

    Raises:
        UnavailableError: no connection.
        ConfigurationError: the role has rights that it must not have, and the message has the SQL that takes them away;
            or a backup is being restored.
        BusyError: a lock was not free in time; says who holds it.
    """
    with (
        open_connection(
            settings, user=settings.db_user, password=settings.db_password.get_secret_value()
        ) as connection,
        limits_explained(connection, settings),
    ):
        _refuse_excess_rights(connection, settings)
        if not while_restoring:
            _refuse_half_a_restore(connection)
        yield connection


def mark_restore(connection: psycopg.Connection, backup: str | None) -> None:
    """Refuse the platform in this database from now on, as a backup is restored into it; None: let it in again.

    The mark is the comment of the database, which is there before any table and which its owner may write.
    """
    mark = None if backup is None else f"{_RESTORE_MARK}{backup}"
    database = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, sql.Literal(mark)))


def restore_under_way(connection: psycopg.Connection) -> str | None:
    """The backup that is being restored into this database; None if none is."""
    row = connection.execute(statement("warehouse", "database_comment")).fetchone()
    mark = row[0] if row else None
    return mark.removeprefix(_RESTORE_MARK) if mark and mark.startswith(_RESTORE_MARK) else None


def _refuse_half_a_restore(connection: psycopg.Connection) -> None:
    if backup := restore_under_way(connection):
        raise ConfigurationError(
            f"The backup {backup} is being restored into this database, or its restore was cut off. Wait for `cdp "
            "restore`; if it does not run any more, make the database anew and restore again."
        )


def _refuse_excess_rights(connection: psycopg.Connection, settings: PostgresSettings) -> None:
    excess = connection.execute(statement("warehouse", "excess_rights")).fetchall()
    if not excess:
        return
    owner = settings.owner_user if settings.owner_user not in {"", settings.db_user} else "ANOTHER_ROLE"
    shown = "; ".join(f"{what} ({mend.replace('{owner}', owner)})" for what, mend in excess[:_MOST_SHOWN])
    more = f"; and {len(excess) - _MOST_SHOWN} more" if len(excess) > _MOST_SHOWN else ""
    raise ConfigurationError(
        f"PGSQL_DB_USER={settings.db_user} has rights with which row-level security would not separate tenants: "
        f"{shown}{more}. Take them away, or use a role that has none of them: `cdp migrate` makes one when "
        "PGSQL_OWNER_USER may create roles."
    )


@contextmanager
def limits_explained(connection: psycopg.Connection, settings: PostgresSettings) -> Generator[None]:
    """Turn the error of a wait that reached its limit into one that names who was waited for, and what to do.

    Raises:
        BusyError: a lock was not free in time, or a statement took too long.
        UnavailableError: a transaction was idle for too long.
    """
    try:
        yield
    except BusyError as error:
        whom = waits.last_blocker(connection)
        if whom is None or whom in str(error):
            raise
        raise BusyError(f"{error} It is held by {whom}.") from error
    except psycopg.errors.LockNotAvailable as error:
        whom = waits.last_blocker(connection) or "another transaction, which has just ended"
        raise BusyError(f"A lock was not free in time. It is held by {whom}. Try again when that has ended.") from error
    except psycopg.errors.QueryCanceled as error:
        whom = waits.last_blocker(connection)
        waited = f" It waited for {whom}." if whom else ""
        raise BusyError(
            f"A statement took longer than {settings.statement_timeout} s and was stopped; its transaction is undone."
            f"{waited} If that much work is expected, set PGSQL_STATEMENT_TIMEOUT to more seconds."
        ) from error
    except psycopg.errors.IdleInTransactionSessionTimeout as error:
        raise UnavailableError(
            f"A transaction was idle for more than {_IDLE_SECONDS} s, and PostgreSQL ended it so that it holds up no"
            " other. Was this process stopped, or did an outside system take that long? Try again."
        ) from error


@contextmanager
def long_statements(connection: psycopg.Connection, *, seconds: float) -> Generator[None]:
    """One transaction in which each statement may take this many seconds, such as the build of an index."""
    with connection.transaction():
        connection.execute("SELECT set_config('statement_timeout', %s, true)", [f"{int(seconds * 1000)}ms"])
        yield


@contextmanager
def tenant_transaction(connection: psycopg.Connection, tenant_id: str) -> Generator[psycopg.Connection]:
    """One transaction that sees and writes rows of this tenant only; it cannot be inside one of another tenant."""
    with connection.transaction():
        row = connection.execute(
            "SELECT nullif(current_setting('app.tenant_id', true), ''), set_config('app.tenant_id', %s, true)",
            [tenant_id],
        ).fetchone()
        before = row[0] if row else None
        if before not in {None, tenant_id}:
            raise RuntimeError(f"this transaction acts for tenant {before}, not for {tenant_id}")
        yield connection


def advisory_key(work: str) -> sql.Composed:
    """The key of the advisory lock with this name, for statements."""
    return sql.SQL("hashtextextended({}, 0)").format(sql.Literal(f"cdp_platform:{work}"))


@contextmanager
def single_flight(connection: psycopg.Connection, work: str, *, wait_seconds: float) -> Generator[bool]:
    """Hold the advisory lock of this work for the connection's session; yields whether it was free in time.

    A session lock, because the work spans many transactions. PostgreSQL releases it when the session ends or crashes.
    All such locks but the migration's are in `cdp_platform.ops.locks`.
    """
    key = advisory_key(work)
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
