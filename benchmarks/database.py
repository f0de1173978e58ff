"""The embedded PostgreSQL of a benchmark: a migrated warehouse with its tenants, and quiet between two measurements."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from psycopg import sql
from pydantic import SecretStr

from cdp_platform.ops import tenants
from cdp_platform.settings import PostgresSettings
from cdp_platform.warehouse.connection import connect
from cdp_platform.warehouse.migrate import migrate
from cdp_sandbox.postgres import SUPERUSER, temporary_postgres

_PASSWORD = "benchmark"  # noqa: S105 (of a server that lives as long as the benchmark, on 127.0.0.1)
_OWNER = "benchmark_owner"
_PLATFORM = "benchmark_platform"
_DATABASE = "benchmark"


@dataclass(frozen=True)
class BenchmarkDatabase:
    """Where a benchmark's server is; can be handed to other processes.

    Attributes:
        port: on 127.0.0.1.
        folder: where the server may write files.
    """

    port: int
    folder: Path

    @property
    def settings(self) -> PostgresSettings:
        """What the platform connects with."""
        return PostgresSettings(
            db_host="127.0.0.1",
            db_port=self.port,
            db_name=_DATABASE,
            db_user=_PLATFORM,
            db_password=SecretStr(_PASSWORD),
            owner_user=_OWNER,
            owner_password=SecretStr(_PASSWORD),
        )

    def environment(self) -> dict[str, str]:
        """The same for a process that finds it in its environment, but the owner."""
        return {
            "PGSQL_DB_HOST": "127.0.0.1",
            "PGSQL_DB_PORT": str(self.port),
            "PGSQL_DB_NAME": _DATABASE,
            "PGSQL_DB_USER": _PLATFORM,
            "PGSQL_DB_PASSWORD": _PASSWORD,
        }

    @property
    def url(self) -> str:
        """Of the same database, as the role that owns it."""
        return f"postgresql://{_OWNER}:{_PASSWORD}@127.0.0.1:{self.port}/{_DATABASE}"

    @property
    def postmaster(self) -> psutil.Process:
        """The server's first process, as `benchmarks.cpu` asks for it."""
        return psutil.Process(int((self.folder / "postmaster.pid").read_text().split()[0]))

    def superuser(self, database: str = _DATABASE) -> psycopg.Connection:
        """A connection that may do everything, also past row-level security."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, dbname=database, user=SUPERUSER, password=_PASSWORD, autocommit=True
        )

    def settle(self, *tables: sql.Identifier) -> None:
        """Finish what earlier work left to do (dead rows, statistics, dirty pages), so that nobody else pays for it."""
        with self.superuser() as connection:
            for table in tables:
                connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(table))
            connection.execute("CHECKPOINT")


@contextmanager
def benchmark_database(tenant_databases: Mapping[str, str]) -> Generator[BenchmarkDatabase]:
    """Run a server with a migrated warehouse that has these tenants (id to ArangoDB database).

    Autovacuum is off: it would come in the middle of some measurements and not of others.
    """
    with temporary_postgres(superuser_password=_PASSWORD) as server:
        database = BenchmarkDatabase(server.port, server.data_dir)
        with database.superuser("postgres") as connection:
            connection.execute("ALTER SYSTEM SET autovacuum = off")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(f"CREATE ROLE {_OWNER} LOGIN CREATEROLE PASSWORD '{_PASSWORD}'")
            connection.execute(f"CREATE DATABASE {_DATABASE} OWNER {_OWNER}")
        with database.superuser() as connection:
            connection.execute("CREATE EXTENSION vector")
        migrate(database.settings)
        with connect(database.settings) as connection:
            for tenant_id, arango_database in tenant_databases.items():
                tenants.add(connection, tenant_id, name=tenant_id, arango_database=arango_database)
        yield database
