"""Finds a connection pool between the platform and the warehouse that breaks what the platform stands on, in silence.

The platform locks by the session (`single_flight`), listens by the session (`embedding_queue`), and sets limits and the
search path by the session. A pool in transaction or statement mode gives each transaction whatever session of the
server is free: locks are then held by a session that somebody else uses, and notifications reach nobody. No statement
fails.
"""

import psycopg

from cdp_platform.settings import PostgresSettings
from cdp_platform.warehouse.connection import LOCK_SECONDS, open_connection

# Other clients of a pool may take the session between two questions, so one round can miss it.
_ROUNDS = 8


def complaint(settings: PostgresSettings) -> str:
    """What is wrong with the pool before the warehouse, and what to do; '' if nothing is, or if there is none.

    Raises:
        UnavailableError: no connection.
    """
    password = settings.db_password.get_secret_value()
    with (
        open_connection(settings, user=settings.db_user, password=password) as one,
        open_connection(settings, user=settings.db_user, password=password) as other,
    ):
        of_one, of_other = set(), set()
        for _ in range(_ROUNDS):
            of_one.add(_session(one))
            of_other.add(_session(other))
        if len(of_one) > 1 or len(of_other) > 1 or of_one & of_other:
            return (
                "A connection pool in transaction or statement mode stands before the warehouse: locks and "
                "notifications of sessions are lost without an error. Let PGSQL_DB_HOST and PGSQL_DB_PORT name "
                "PostgreSQL itself, or a pool in session mode."
            )
        if not _has_its_limits(one):
            return (
                "What stands before the warehouse drops the limits of a connection (`options`), so a wait may have no "
                "end: in pgbouncer, take `options` out of ignore_startup_parameters, or let PGSQL_DB_HOST and "
                "PGSQL_DB_PORT name PostgreSQL itself."
            )
    return ""


def _session(connection: psycopg.Connection) -> int:
    """The number of the server's process that answered. It stays the same as long as a session does."""
    # Not prepared: a session that somebody else gets next would have the statement already.
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    assert row is not None  # noqa: S101 (one row always)
    return row[0]


def _has_its_limits(connection: psycopg.Connection) -> bool:
    row = connection.execute(
        "SELECT extract(epoch FROM current_setting('lock_timeout')::interval) = %s, "
        "current_setting('timezone') = 'UTC'",
        [LOCK_SECONDS],
        prepare=False,
    ).fetchone()
    assert row is not None  # noqa: S101 (one row always)
    return all(row)
