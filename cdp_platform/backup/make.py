"""Making a backup.

Both databases are dumped as two snapshots show them. Dagster's is taken first: its sensors then repeat what they had
asked for since, which changes nothing. The other way round they would believe done what the warehouse does not have.
"""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import psycopg
from psycopg import IsolationLevel

from cdp_platform.backup import contents, databases, manifest, tools
from cdp_platform.backup.manifest import FORMAT, Contents, Manifest
from cdp_platform.backup.tools import Tell, Tools
from cdp_platform.errors import ConfigurationError, PlatformError
from cdp_platform.settings import PostgresSettings
from cdp_platform.warehouse.migrate import current


def make(settings: PostgresSettings, folder: Path, *, dagster: str | None, tell: Tell) -> Manifest:
    """Back up the warehouse, and Dagster's database, into a new folder.

    Args:
        settings: of the warehouse.
        folder: where to; does not exist yet, or is empty.
        dagster: how to connect to Dagster's database; None if its runs are not in PostgreSQL.
        tell: shows progress.

    Raises:
        ConfigurationError: the folder is not empty, a role or program is missing or wrong, or the dump is not what the
            database has.
    """
    if not settings.owner_user:
        raise ConfigurationError("Set PGSQL_OWNER_USER: a restore needs a role of the same name.")
    _prepare(folder)
    with databases.as_reader(settings) as warehouse, _connected(dagster) as dagster_connection:
        used = tools.find(max(_major(each) for each in (warehouse, dagster_connection) if each is not None))
        of_dagster = None
        with _snapshot(dagster_connection) as of_runs, _snapshot(warehouse) as of_rows:
            row = warehouse.execute("SELECT now()").fetchone()
            revision = current(warehouse)
            if row is None or revision is None:
                raise ConfigurationError("The warehouse has no tables yet: there is nothing to back up.")
            if dagster is not None and dagster_connection is not None and of_runs is not None:
                tell("Dagster's database is dumped.")
                of_dagster = _dump(
                    dagster_connection,
                    databases.dagster(dagster),
                    folder / "dagster",
                    used,
                    snapshot=of_runs,
                    tell=tell,
                )
            tell("The warehouse is dumped.")
            password = settings.backup_password.get_secret_value()
            address = databases.warehouse(settings, user=settings.backup_user, password=password)
            of_warehouse = _dump(warehouse, address, folder / "warehouse", used, snapshot=str(of_rows), tell=tell)
        made = Manifest(
            format=FORMAT,
            made_at=row[0].astimezone(UTC),
            tools=used.version,
            revision=revision,
            owner=settings.owner_user,
            warehouse=of_warehouse,
            dagster=of_dagster,
        )
    manifest.write(folder, made)
    return made


def _prepare(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} is not empty. Each backup has a folder of its own: name a new one.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be made: {error.strerror}. Name another folder.") from error


@contextmanager
def _connected(dagster: str | None) -> Generator[psycopg.Connection | None]:
    if dagster is None:
        yield None
        return
    with databases.of_dagster(databases.dagster(dagster)) as connection:
        yield connection


@contextmanager
def _snapshot(connection: psycopg.Connection | None) -> Generator[str | None]:
    """One transaction that sees one moment, and its name, by which others see the same."""
    if connection is None:
        yield None
        return
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with connection.transaction():
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        yield row[0] if row else None


def _dump(
    connection: psycopg.Connection, address: dict[str, Any], folder: Path, used: Tools, *, snapshot: str, tell: Tell
) -> Contents:
    # A snapshot does not hold sequences: those of the dump are as far as these, or further.
    sequences = contents.sequences(connection)
    used.dump(address, folder, snapshot=snapshot, tell=tell)
    tell("The dump is compared with the database.")
    rows = contents.rows(connection, tell)
    counted = {name: {tenant: each.rows for tenant, each in found.items()} for name, found in rows.items()}
    dumped = contents.dumped(used.data_files(folder), contents.tables(connection))
    wrong = [name for name in counted if counted[name] != dumped[name]]
    if wrong:
        had, has = (sum(each[wrong[0]].values()) for each in (counted, dumped))
        raise PlatformError(
            f"The dump is not what the database has: {len(wrong)} tables differ, such as {wrong[0]} with {had:,} rows "
            f"in the database and {has:,} in the dump. This is no backup: look at the disk, and make another one."
        )
    return Contents(
        server=_major(connection),
        tables=rows,
        sequences=sequences,
        security=contents.security(connection),
        files=manifest.checksums(folder),
    )


def _major(connection: psycopg.Connection) -> int:
    return connection.info.server_version // 10_000
