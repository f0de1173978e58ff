"""A real pgbouncer before a real warehouse."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import cdp_platform
from cdp_platform.errors import UnavailableError
from cdp_platform.health.findings import examine
from cdp_platform.settings import PostgresSettings, forget
from cdp_platform.warehouse import pooler
from cdp_platform_tests.conftest import PASSWORD, Warehouse
from cdp_sandbox.processes import free_port

DAGSTER_YAML = Path(cdp_platform.__file__).parents[1] / "dagster.yaml"

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
        (folder / "users").write_text("".join(f'"{role}" "{PASSWORD}"\n' for role in (of.db_user, of.owner_user)))
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


@dg.op
def one_step(context: dg.OpExecutionContext) -> None:
    context.log.info("said through the pool")


@dg.job
def small_job() -> None:
    one_step()


def test_dagsters_own_database_may_have_a_pool_by_transactions(
    pooled: Before, warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    through = pooled("transaction", ignore="options")
    shutil.copyfile(DAGSTER_YAML, tmp_path / "dagster.yaml")
    of_dagster = {
        "DAGSTER_HOME": str(tmp_path),
        "DAGSTER_PG_HOST": through.db_host,
        "DAGSTER_PG_PORT": str(through.db_port),
        "DAGSTER_PG_DB": warehouse.server.new_database(through.owner_user),
        "DAGSTER_PG_USERNAME": through.owner_user,
        "DAGSTER_PG_PASSWORD": PASSWORD,
    }
    for name, value in of_dagster.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        # Several clients at once, so that their transactions get sessions of each other.
        others = [psycopg.connect(make_conninfo(**_libpq(of_dagster)), prepare_threshold=None) for _ in range(3)]
        for each in others:
            each.execute("SELECT 1")
        runs = [small_job.execute_in_process(instance=instance) for _ in range(3)]
        for each in others:
            each.close()
        assert [run.success for run in runs] == [True] * 3
        said = [event.user_message for event in instance.all_logs(runs[0].run_id)]
        assert said.count("said through the pool") == 1


def _libpq(of_dagster: dict[str, str]) -> dict[str, str]:
    names = {"HOST": "host", "PORT": "port", "DB": "dbname", "USERNAME": "user", "PASSWORD": "password"}
    return {ours: of_dagster[f"DAGSTER_PG_{name}"] for name, ours in names.items()}
