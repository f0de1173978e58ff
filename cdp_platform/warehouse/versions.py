"""The versions of PostgreSQL and pgvector that the warehouse needs, and what to install if they are older or absent."""

import psycopg

from cdp_platform.warehouse.statements import statement

POSTGRES = 17
"""Major version. It is the first with index builds under a safe search path and with the collation `pg_c_utf8`."""

PGVECTOR = (0, 8)
"""The first version in which a filtered search continues if an index gives too few rows (`hnsw.iterative_scan`)."""


def unmet(connection: psycopg.Connection) -> str | None:
    """Say in one line what the database lacks and what to install; None if nothing. Works before any migration."""
    row = connection.execute(statement("warehouse", "server_versions")).fetchone()
    assert row is not None  # noqa: S101 (one row always)
    number, name, available, installed = row
    # Distributions append their own version to it.
    return _compared(number, name.split()[0], available, installed)


def _compared(number: int, name: str, available: str | None, installed: str | None) -> str | None:
    major = number // 10_000
    needed = _text(PGVECTOR)
    if major < POSTGRES:
        return (
            f"PostgreSQL is {name}, and the warehouse needs {POSTGRES} or later. Install one with pgvector {needed} or "
            f"later (Debian and Ubuntu, from apt.postgresql.org: postgresql-{POSTGRES} and "
            f"postgresql-{POSTGRES}-pgvector), move the database there with pg_upgrade or pg_dump, and let "
            "PGSQL_DB_HOST and PGSQL_DB_PORT name it."
        )
    if installed is not None and _parsed(installed) >= PGVECTOR:
        return None
    update = "run ALTER EXTENSION vector UPDATE in the database"
    if available is not None and _parsed(available) >= PGVECTOR:
        return f"pgvector is {installed}, and the warehouse needs {needed} or later: {update}." if installed else None
    has = installed or available
    lacks = f"pgvector is {has}" if has else f"PostgreSQL {name} has no pgvector"
    return (
        f"{lacks}, and the warehouse needs {needed} or later. Install it on the server (Debian and Ubuntu, from "
        f"apt.postgresql.org: postgresql-{major}-pgvector){f', then {update}' if installed else ''}."
    )


def _parsed(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
