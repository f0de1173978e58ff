"""Restoring a backup into empty databases.

Until all of it is done, the warehouse refuses the platform (`cdp_platform.warehouse.connection.connect`). What was
restored is compared with the manifest before anything is changed. Then migrations run, and what happened since the
backup is taken up as far as anybody knows: `cdp_platform.backup.since`.
"""

import re
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from cdp_platform.backup import contents, databases, manifest, since, tools
from cdp_platform.backup.manifest import Contents, Manifest
from cdp_platform.backup.since import Since
from cdp_platform.backup.tools import Tell, Tools
from cdp_platform.customers.erasure_journal import ErasureJournal
from cdp_platform.errors import ConfigurationError, PlatformError
from cdp_platform.settings import PostgresSettings
from cdp_platform.warehouse.connection import connect, mark_restore, restore_under_way
from cdp_platform.warehouse.migrate import ensure_roles, migrate, refuse_a_newer_database
from cdp_platform.warehouse.statements import statement

_POLICIES = re.compile(r" (ROW SECURITY|POLICY) ")
# Policies come last: for a foreign key the owner has to see the rows of both tables.
_STEPS = (
    ("Tables are made.", "pre-data", False),
    ("Rows are restored.", "data", False),
    ("Indexes, keys and triggers are made.", "post-data", False),
    ("Policies are made.", "post-data", True),
)


@dataclass(frozen=True)
class Restored:
    """The result of a restore.

    Attributes:
        backup: the backup that was restored.
        revision: of the warehouse's schema, after the migrations.
        since: what was taken up that the backup does not have.
        runs_ended: runs and backfills of Dagster that were open in the backup.
    """

    backup: Manifest
    revision: str
    since: Since
    runs_ended: int


def restore(
    settings: PostgresSettings,
    folder: Path,
    *,
    dagster: str | None,
    journal: ErasureJournal | None,
    end_runs: Callable[[], int],
    tell: Tell,
) -> Restored:
    """Restore a backup.

    Args:
        settings: of the warehouse, which is empty.
        folder: of the backup.
        dagster: how to connect to Dagster's database, which is empty; None if its runs are not in PostgreSQL.
        journal: has the erasures since the backup; None if a person answers for them.
        end_runs: ends Dagster's open runs, and returns their number.
        tell: shows progress.

    Raises:
        ConfigurationError: the backup cannot be restored here; says why. Nothing was changed.
        PlatformError: what was restored is not what was backed up. The databases stay closed.
    """
    backup = manifest.read(folder)
    refuse_a_newer_database(backup.revision)
    tell(f"The backup of {backup.made_at:%Y-%m-%d %H:%M} UTC is compared with its manifest.")
    parts = {"warehouse": backup.warehouse, **({"dagster": backup.dagster} if backup.dagster else {})}
    for name, part in parts.items():
        manifest.require_whole(folder / name, part.files)
    if backup.dagster is not None and dagster is None:
        raise ConfigurationError("The backup has Dagster's database: set DAGSTER_HOME and the DAGSTER_PG_ variables.")
    if backup.owner != settings.owner_user:
        raise ConfigurationError(
            f"The tables of the backup belong to {backup.owner}: an administrator makes that role and lets it own the "
            "database, and PGSQL_OWNER_USER names it."
        )
    with databases.as_owner(settings) as owner, databases.as_reader(settings) as reader:
        used = tools.find(max(_require_server(owner, backup.warehouse), int(backup.tools.split(".")[0])))
        _require_empty(owner, settings.db_name, own=[reader.info.backend_pid])
        address = databases.dagster(dagster) if dagster and backup.dagster else None
        if address:
            with databases.of_dagster(address) as connection:
                _require_server(connection, parts["dagster"])
                _require_empty(connection, str(address["dbname"]), own=[])
        ensure_roles(owner, settings)
        _close(owner, settings, folder.name)
        password = settings.owner_password.get_secret_value()
        target = databases.warehouse(settings, user=settings.owner_user, password=password)
        _load(used, target, folder / "warehouse", tell)
        tell("The warehouse is compared with the manifest.")
        contents.analyze(owner)
        _compare(reader, backup.warehouse, tell)
    if address:
        tell("Dagster's database is restored.")
        _load(used, address, folder / "dagster", tell)
        with databases.of_dagster(address) as connection:
            _compare(connection, parts["dagster"], tell)
    migrated = migrate(settings)
    with connect(settings, while_restoring=True) as connection:
        tell("Erasures since the backup are repeated, and what may have been sent since is held.")
        taken_up = since.take_up(connection, journal)
    ended = end_runs() if address else 0
    with databases.as_owner(settings) as owner:
        mark_restore(owner, None)
    return Restored(backup, migrated.after, taken_up, ended)


def _require_server(connection: psycopg.Connection, part: Contents) -> int:
    major = connection.info.server_version // 10_000
    if major < part.server:
        raise ConfigurationError(
            f"The backup is of PostgreSQL {part.server}, and this server is of {major}. Restore it into "
            f"{part.server} or later."
        )
    return major


def _require_empty(connection: psycopg.Connection, database: str, *, own: list[int]) -> None:
    """Refuse a database that has something or is in use; ``own`` are the server's processes of our connections."""
    if backup := restore_under_way(connection):
        raise ConfigurationError(
            f"A restore of {backup} into database {database} was cut off. Make the database anew (DROP "
            "DATABASE, CREATE DATABASE), and restore again."
        )
    found = [name for (name,) in connection.execute(statement("backup", "not_empty"))]
    if found:
        more = f" and {len(found) - 1} more" if found[1:] else ""
        raise ConfigurationError(
            f"Database {database} is not empty: it has {found[0]}{more}. A backup is restored into a new database only."
        )
    roles = {role for (role,) in connection.execute(statement("backup", "other_sessions"), {"own": own})}
    if roles:
        raise ConfigurationError(
            f"Database {database} is in use by {', '.join(sorted(roles))}. Stop what runs, and restore again."
        )


def _close(owner: psycopg.Connection, settings: PostgresSettings, backup: str) -> None:
    """From now on the platform is refused, until all is done."""
    try:
        mark_restore(owner, backup)
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"PGSQL_OWNER_USER={settings.owner_user} has to own the database {settings.db_name}: an administrator runs "
            f"ALTER DATABASE {settings.db_name} OWNER TO {settings.owner_user}."
        ) from error


def _load(used: Tools, target: dict[str, Any], folder: Path, tell: Tell) -> None:
    listing = used.listing(folder)
    for words, section, are_policies in _STEPS:
        tell(words)
        with tempfile.NamedTemporaryFile("w", suffix=".list") as entries:
            entries.write("\n".join(line for line in listing if bool(_POLICIES.search(line)) == are_policies))
            entries.flush()
            used.restore(target, folder, section=section, entries=Path(entries.name), tell=tell)


def _compare(connection: psycopg.Connection, part: Contents, tell: Tell) -> None:
    """Compare a restored database with the manifest; raises PlatformError naming the first difference."""
    rows = contents.rows(connection, tell)
    for table in sorted({*part.tables, *rows}):
        had, has = part.tables.get(table, {}), rows.get(table, {})
        for tenant in sorted({*had, *has}):
            if had.get(tenant) != has.get(tenant):
                before, after = (each[tenant].rows if tenant in each else 0 for each in (had, has))
                whose = f" of tenant {tenant}" if tenant else ""
                raise _differs(f"{table}{whose} had {before:,} rows and has {after:,}, or their content differs")
    now = contents.sequences(connection)
    for name, value in part.sequences.items():
        if now.get(name, 0) < value:
            raise _differs(f"the sequence {name} was at {value:,} and is at {now.get(name, 0):,}")
    _compare_security(part.security, contents.security(connection))


def _compare_security(had: Collection[str], has: Collection[str]) -> None:
    different = sorted(set(had) ^ set(has))
    if different:
        state = "was not restored" if different[0] in had else "is new"
        more = f", and {len(different) - 1} more" if different[1:] else ""
        raise _differs(f"{state}: {different[0]}{more}")


def _differs(what: str) -> PlatformError:
    return PlatformError(
        f"What was restored is not what was backed up: {what}. The database stays closed: make it anew, and restore "
        "again, or another backup."
    )
