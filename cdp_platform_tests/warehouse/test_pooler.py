"""A real pgbouncer before a real warehouse."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from cdp_platform.errors import UnavailableError
from cdp_platform.health.findings import examine
from cdp_platform.settings import PostgresSettings, forget
from cdp_platform.warehouse import pooler
from cdp_platform_tests.conftest import PASSWORD, Warehouse
from cdp_sandbox.processes import free_port

Before = Callable[..., PostgresSettings]


@pytest.fixture
def pooled(warehouse: Warehouse, tmp_path: Path) -> Iterator[Before]:
    """Starts a pgbouncer before the warehouse; returns settings that lead through it."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    assert program, "pgbouncer is not installed: apt-get install pgbouncer"
    started: list[subprocess.Popen[bytes]] = []

    def start(mode: str, *, ignore: str) -> PostgresSettings:
        port, of = free_port(), warehouse.settings
        folder = tmp_path / mode
        folder.mkdir()
        (folder / "users").write_text(f'"{of.db_user}" "{PASSWORD}"\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={of.db_host} port={of.db_port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = plain\n"
            f"auth_file = {folder / 'users'}\npool_mode = {mode}\nignore_startup_parameters = {ignore}\n"
        )
        # pgbouncer refuses to run as root.
        for path in (tmp_path, folder, *folder.iterdir()):
            path.chmod(0o755)
        command = [program, "-q", "-u", "nobody", str(folder / "pgbouncer.ini")]
        started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        through = of.model_copy(update={"db_port": port})
        for _ in range(200):
            with suppress(psycopg.OperationalError):
                psycopg.connect(
                    host=of.db_host, port=port, dbname=of.db_name, user=of.db_user, password=PASSWORD
                ).close()
                return through
            time.sleep(0.05)
        raise AssertionError("pgbouncer does not answer")

    yield start
    for process in started:
        process.terminate()
        process.wait(10)


def test_postgresql_itself_is_fine(warehouse: Warehouse):
    assert pooler.complaint(warehouse.settings) == ""


def test_a_pool_by_transactions_is_found(pooled: Before):
    assert "transaction or statement mode" in pooler.complaint(pooled("transaction", ignore="options"))


def test_it_is_found_while_others_use_the_pool(pooled: Before):
    through = pooled("transaction", ignore="options")
    others = [
        psycopg.connect(
            host=through.db_host,
            port=through.db_port,
            dbname=through.db_name,
            user=through.db_user,
            password=PASSWORD,
            prepare_threshold=None,
        )
        for _ in range(3)
    ]
    for each in others:
        # Open transactions: their sessions are not free.
        each.execute("SELECT 1")
    assert "transaction or statement mode" in pooler.complaint(through)
    for each in others:
        each.close()


def test_a_pool_by_sessions_that_drops_the_limits_is_found(pooled: Before):
    assert "drops the limits" in pooler.complaint(pooled("session", ignore="options"))


def test_a_pool_that_refuses_the_limits_is_told(pooled: Before):
    with pytest.raises(UnavailableError, match="options"):
        pooler.complaint(pooled("session", ignore="extra_float_digits"))


def test_health_says_so(pooled: Before, monkeypatch: pytest.MonkeyPatch):
    through = pooled("transaction", ignore="options")
    monkeypatch.setenv("PGSQL_DB_PORT", str(through.db_port))
    forget()
    found = next(each for each in examine() if each.system == "PostgreSQL (warehouse)")
    assert found.state == "error"
    assert "transaction or statement mode" in found.advice
