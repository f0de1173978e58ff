"""Bring the warehouse to the schema that this version of the platform needs.

Migrations are alembic revisions that run one SQL file each, in `migrations/`. Only the owner of the tables runs them;
the platform's own role gets the rights that it needs from the group role ``cdp_platform``, and no others.
"""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from psycopg import sql

from cdp_platform.errors import ConfigurationError
from cdp_platform.settings import PostgresSettings
from cdp_platform.warehouse import waits
from cdp_platform.warehouse.connection import (
    limits,
    limits_explained,
    open_connection,
    resolve_names_safely,
    single_flight,
)
from cdp_platform.warehouse.versions import unmet

MIGRATIONS = Path(__file__).parent / "migrations"
_WAIT_SECONDS = 120
# A statement that changes every row of a large table takes hours.
_STATEMENT_SECONDS = 6 * 3600
# All readers of a table wait behind a migration that waits for a lock on it.
_LOCK_SECONDS = 60


@dataclass(frozen=True)
class Migrated:
    """The result of a migration: the revision before (None in an empty database) and after."""

    before: str | None
    after: str


def head() -> str:
    """The newest revision that this version of the platform knows."""
    revision = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert revision is not None  # noqa: S101 (the package ships at least one)
    return revision


def current(connection: psycopg.Connection) -> str | None:
    """The revision that the database is at, or None when nothing was migrated yet."""
    row = connection.execute("SELECT to_regclass('ops.alembic_version') IS NOT NULL").fetchone()
    if not row or not row[0]:
        return None
    row = connection.execute("SELECT version_num FROM ops.alembic_version").fetchone()
    return row[0] if row else None


def migrate(settings: PostgresSettings, *, revision: str | None = None) -> Migrated:
    """Upgrade the warehouse to this version's schema; does nothing if the warehouse has it already.

    Two migrations at once wait for each other. Also makes the platform's login role if the owner may create roles.

    Args:
        settings: of the warehouse and its owner.
        revision: where to stop, as an older version of the platform would; the newest if not given.

    Raises:
        ConfigurationError: no owner is configured, PostgreSQL or pgvector is too old or absent, the database is newer
            than this version, or a role is missing and cannot be made.
    """
    if not settings.owner_user:
        raise ConfigurationError(
            "`cdp migrate` needs the role that owns the tables: set PGSQL_OWNER_USER and PGSQL_OWNER_PASSWORD."
        )
    password = settings.owner_password.get_secret_value()
    with (
        open_connection(settings, user=settings.owner_user, password=password) as connection,
        single_flight(connection, "migrate", wait_seconds=_WAIT_SECONDS) as free,
        _asking_an_administrator(settings),
    ):
        if not free:
            raise ConfigurationError(
                f"Another migration has been running for {_WAIT_SECONDS} s; try again when it ends."
            )
        if lacking := unmet(connection):
            raise ConfigurationError(f"{lacking} Nothing was changed.")
        before = current(connection)
        refuse_a_newer_database(before)
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
        connection.execute("CREATE SCHEMA IF NOT EXISTS ops")
        with _alembic(settings, search_path=resolve_names_safely(connection)) as config:
            command.upgrade(config, revision or "head")
        _ensure_login_role(connection, settings)
        return Migrated(before, revision or head())


def run_sql_beside(revision_file: str) -> None:
    """Run the SQL file of the same name as a revision, statement after statement as psql would; for revisions."""
    from alembic import op  # noqa: PLC0415 (a proxy that exists only while a migration runs)

    connection = op.get_bind().connection.driver_connection
    assert connection is not None  # noqa: S101 (revisions run online)
    connection.execute(Path(revision_file).with_suffix(".sql").read_text())


def refuse_a_newer_database(revision: str | None) -> None:
    """Raise ConfigurationError if this version of the platform does not know the revision; None: an empty database."""
    if revision is None:
        return
    try:
        ScriptDirectory(str(MIGRATIONS)).get_revision(revision)
    except CommandError:
        raise ConfigurationError(
            f"The warehouse is at revision {revision}, which this version of the platform does not know "
            f"(its newest is {head()}). Upgrade the platform; nothing was changed."
        ) from None


@contextmanager
def _alembic(settings: PostgresSettings, *, search_path: str) -> Generator[Config]:
    from sqlalchemy import URL, create_engine  # noqa: PLC0415 (only a migration pays for importing it)
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    engine = create_engine(
        URL.create(
            "postgresql+psycopg",
            username=settings.owner_user,
            password=settings.owner_password.get_secret_value(),
            host=settings.db_host,
            port=settings.db_port,
            database=settings.db_name,
        ),
        connect_args=limits(
            settings, statement_seconds=_STATEMENT_SECONDS, lock_seconds=_LOCK_SECONDS, search_path=search_path
        ),
    )
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            driver = connection.connection.driver_connection
            assert driver is not None  # noqa: S101 (of psycopg)
            password = settings.owner_password.get_secret_value()
            waits.watch(driver, lambda: open_connection(settings, user=settings.owner_user, password=password))
            with limits_explained(driver, settings):
                try:
                    yield config
                except DBAPIError as error:
                    # SQLAlchemy wraps errors of alembic's own statements; PostgreSQL's error says what is wrong.
                    raise error.orig or error from None
    finally:
        engine.dispose()


def ensure_roles(connection: psycopg.Connection, settings: PostgresSettings) -> None:
    """Make the roles that a restored warehouse needs; raises ConfigurationError with the SQL if the owner may not."""
    with _asking_an_administrator(settings):
        if connection.execute("SELECT FROM pg_roles WHERE rolname = 'cdp_platform'").fetchone() is None:
            connection.execute("CREATE ROLE cdp_platform NOLOGIN")
        _ensure_login_role(connection, settings)


def _ensure_login_role(connection: psycopg.Connection, settings: PostgresSettings) -> None:
    role = sql.Identifier(settings.db_user)
    known = connection.execute("SELECT oid FROM pg_roles WHERE rolname = %s", [settings.db_user]).fetchone()
    if known is None:
        password = sql.Literal(settings.db_password.get_secret_value())
        # Roles belong to the whole cluster: the migration of another warehouse may create this one at the same moment.
        with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
    member = connection.execute("SELECT pg_has_role(%s, 'cdp_platform', 'USAGE')", [settings.db_user]).fetchone()
    if not member or not member[0]:
        connection.execute(sql.SQL("GRANT cdp_platform TO {}").format(role))


@contextmanager
def _asking_an_administrator(settings: PostgresSettings) -> Generator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"PGSQL_OWNER_USER={settings.owner_user} may not do all that a migration needs "
            f"({error.diag.message_primary}). An administrator does it once. For the extension: "
            "CREATE EXTENSION vector; for roles: CREATE ROLE cdp_platform NOLOGIN; "
            f"CREATE ROLE {settings.db_user} LOGIN PASSWORD '...'; "
            f"GRANT cdp_platform TO {settings.db_user};"
        ) from error
