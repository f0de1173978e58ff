"""Real services for the tests: one embedded PostgreSQL per session, and a database of its own for each test that asks.

No test reaches a server that it did not start: the environment is emptied of the platform's variables first.
"""

import fcntl
import itertools
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import hypothesis
import psycopg
import pytest
from psycopg import sql
from xdist.scheduler import LoadFileScheduling

from cdp_platform import settings
from cdp_platform.warehouse.connection import connect
from cdp_platform.warehouse.migrate import migrate
from cdp_platform_tests import service_logs
from cdp_sandbox.postgres import BINARIES, EmbeddedPostgres, temporary_postgres

# Fixtures for every room.
pytest_plugins = [
    "cdp_platform_tests.service_logs",
    "cdp_platform_tests.browser",
    "cdp_platform_tests.sandbox_process",
    "cdp_platform_tests.dagster_runs",
    "cdp_platform_tests.leo",
    "cdp_platform_tests.apollo_stub",
    "cdp_platform_tests.openai_stub",
    "cdp_platform_tests.sheets_stub",
]

PASSWORD = "test-only"
# The name of a test's property that is shown at the end of the run.
SUMMARY = "summary"
_OURS = (
    *("PGSQL_", "ARANGO_", "DAGSTER_", "SANDBOX_", "DEFAULT_TENANT_ID", "EMBED", "OPENAI_", "GOOGLE_", "REFERRAL_"),
    *("CDP_WEB_", "CDP_ALERTS_", "CDP_DAGSTER_", "CDP_METRICS_", "CDP_LOG_"),
    *("OPT_OUT_", "CHANNELS_", "APOLLO_", "ENRICHMENT_", "PAYMENT_", "ERASURE_", "REDIS_"),
    *(
        "PRODUCT_RETENTION",
        "ROUND_RETENTION",
        "REJECTED_RETENTION",
        "RECONCILIATION_RETENTION",
        "USAGE_RETENTION",
        "EXPORT_RETENTION",
        "DELIVERY_RETENTION",
        "DATA_DIR",
        "INGESTION_CONFIG_PATH",
    ),
)
# Files whose tests begin with a run of the demo, which takes half a minute.
_ON_THE_DEMO = tuple(f"processes/test_{name}.py" for name in ("definitions", "demo", "frames_page", "tables", "usage"))
_numbers = itertools.count()

# pytest-xdist sets it, and tables would fold as in a terminal.
os.environ.pop("COLUMNS", None)

# `pytest --hypothesis-profile=deep`: for somebody who looks for what the usual run is too short to find.
hypothesis.settings.register_profile("deep", max_examples=300, deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a --basetemp that another session uses: pytest would delete it, and the data of servers with it."""
    folder = config.option.basetemp
    if folder and not hasattr(config, "workerinput"):
        lock = os.open(f"{folder}.lock", os.O_CREAT | os.O_WRONLY)
        # Held until the end of the session.
        config.add_cleanup(lambda: os.close(lock))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.exit(f"Another session of pytest uses --basetemp={folder}: choose another folder.", returncode=4)


class _ByServices(LoadFileScheduling):
    """Gives a file to one process, where several run, and all files that begin with the demo to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "demo" if file.endswith(_ON_THE_DEMO) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Make the scheduler that shares the services of a session among the tests that need them."""
    return _ByServices(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the reports that tests made."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties:
            if name == SUMMARY and report.when == "call":
                terminalreporter.section("recordings of ArangoDB 3.11.14 that the stand-in agrees with")
                terminalreporter.write_line(str(text))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        monkeypatch.delenv(name)
    # A `.env` of the checkout must not reach a test.
    monkeypatch.chdir(tmp_path_factory.getbasetemp())
    settings.forget()
    yield
    settings.forget()


@dataclass(frozen=True)
class Server:
    """The session's PostgreSQL server."""

    postgres: EmbeddedPostgres

    @property
    def port(self) -> int:
        return self.postgres.port

    def superuser(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, dbname=database, user="postgres", password=PASSWORD, autocommit=True
        )

    def new_database(self, owner: str) -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with self.superuser() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner))
            )
        return name


@dataclass(frozen=True)
class Warehouse:
    """A migrated warehouse of one test."""

    settings: settings.PostgresSettings
    server: Server

    def superuser(self) -> psycopg.Connection:
        return self.server.superuser(self.settings.db_name)

    def environment(self) -> dict[str, str]:
        return {
            "PGSQL_DB_HOST": "127.0.0.1",
            "PGSQL_DB_PORT": str(self.settings.db_port),
            "PGSQL_DB_NAME": self.settings.db_name,
            "PGSQL_DB_USER": self.settings.db_user,
            "PGSQL_DB_PASSWORD": PASSWORD,
            "PGSQL_OWNER_USER": self.settings.owner_user,
            "PGSQL_OWNER_PASSWORD": PASSWORD,
            "PGSQL_BACKUP_USER": self.settings.backup_user,
            "PGSQL_BACKUP_PASSWORD": PASSWORD,
            "PGSQL_BIN": str(BINARIES),
        }


@contextmanager
def running_server() -> Generator[Server]:
    """A server with what an administrator makes: the extension, and a role that owns warehouses."""
    with temporary_postgres(superuser_password=PASSWORD) as postgres:
        running = Server(postgres)
        service_logs.watch(postgres.data_dir.parent)
        # Every database is a copy of this one.
        with running.superuser("template1") as connection:
            connection.execute("CREATE EXTENSION vector")
            connection.execute(f"CREATE ROLE test_owner LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
            connection.execute(
                f"CREATE ROLE test_backup LOGIN BYPASSRLS PASSWORD '{PASSWORD}' IN ROLE pg_read_all_data"
            )
        yield running


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


def postgres_settings(server: Server, database: str) -> settings.PostgresSettings:
    return settings.PostgresSettings(
        db_host="127.0.0.1",
        db_port=server.port,
        db_name=database,
        db_user="test_app",
        db_password=PASSWORD,
        owner_user="test_owner",
        owner_password=PASSWORD,
        backup_user="test_backup",
        backup_password=PASSWORD,
        bin=BINARIES,
    )


@pytest.fixture(scope="session")
def _migrated_template(server: Server) -> str:
    """A migrated database to copy: a copy takes a fraction of a migration's time."""
    name = server.new_database("test_owner")
    migrate(postgres_settings(server, name))
    return name


@pytest.fixture
def warehouse(server: Server, _migrated_template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with server.superuser() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {_migrated_template} OWNER test_owner")
    made = Warehouse(postgres_settings(server, name), server)
    for variable, value in made.environment().items():
        monkeypatch.setenv(variable, value)
    settings.forget()
    yield made
    with server.superuser() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def app(warehouse: Warehouse) -> Iterator[psycopg.Connection]:
    """A connection as the platform's own role."""
    with connect(warehouse.settings) as connection:
        yield connection
