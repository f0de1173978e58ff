"""The platform and the sandbox as wheels in an environment of their own, used in a folder that is no checkout."""

import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
from dotenv import dotenv_values

from cdp_platform_tests.processes.conftest import Checkout, wait_for
from cdp_platform_tests.test_package import PLATFORM, ROOT, SANDBOX, build_wheel, new_environment


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    return new_environment(folder, *(build_wheel(folder, package) for package in (PLATFORM, SANDBOX)))


@pytest.fixture
def installed(programs: Path, tmp_path: Path) -> Iterator[Checkout]:
    # PostgreSQL's own user has to get through.
    tmp_path.chmod(0o711)
    root, home = tmp_path / "a folder", tmp_path / "home"
    root.mkdir()
    home.mkdir()
    made = Checkout(root, home, programs)
    yield made
    made.cdp("down")
    made.sandbox.reset()


def test_init_writes_what_a_folder_needs_and_overwrites_nothing(installed: Checkout):
    (installed.root / "workspace.yaml").write_text("# mine\n")
    done = installed.cdp("init")
    assert (done.code, done.err) == (0, "")
    for name in ("dagster.yaml", "ingestion.yaml", "channels.yaml"):
        assert (installed.root / name).read_bytes() == (ROOT / name).read_bytes()
    assert (installed.root / "workspace.yaml").read_text() == "# mine\n"
    env = installed.root / ".env"
    explained = (ROOT / ".env.example").read_text()
    assert env.read_text() == explained.replace("DAGSTER_HOME=\n", f"DAGSTER_HOME='{installed.root}'\n")
    assert dotenv_values(env)["DAGSTER_HOME"] == str(installed.root)
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    env.write_text("# filled in\n")
    again = installed.cdp("init", "--json")
    assert (again.code, again.json()["written"]) == (0, [])
    assert env.read_text() == "# filled in\n"


def test_a_command_in_an_unprepared_folder_says_in_one_line_what_to_do_and_writes_nothing(installed: Checkout):
    home = installed.home / "dagster"
    home.mkdir()
    variables = {"PGSQL_DB_HOST": "127.0.0.1", "PGSQL_DB_NAME": "x", "PGSQL_DB_USER": "x", "DAGSTER_HOME": str(home)}
    assert "`cdp init`" in installed.cdp("status").error()
    assert "`cdp init`" in installed.cdp("up").error()
    (dagster,) = [
        each
        for each in installed.cdp("health", "--json", **variables).json()
        if each["system"] == "PostgreSQL (Dagster)"
    ]
    assert dagster["state"] == "error"
    assert "has no dagster.yaml, so Dagster would keep its runs in SQLite files there" in dagster["advice"]
    assert list(home.iterdir()) == list(installed.root.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        ("telemetry: {enabled: false}\n", ["SQLite"]),
        ("storage: {sqlite: {base_dir: /tmp}}\n", ["SQLite", "Telemetry is on"]),
        ("storage: {postgres: {postgres_db: {hostname: {env: NOWHERE}}}}\n", ["NOWHERE, which is not set"]),
        ("storage: {postgres: {postgres_url: 'postgresql+psycopg2://u@127.0.0.1:1/d'}}\n", ["Connection refused"]),
        ("storage: [\n", ["cannot be read"]),
    ],
)
def test_health_looks_at_the_storage_that_dagster_really_uses(installed: Checkout, content: str, advice: list[str]):
    (installed.root / "dagster.yaml").write_text(content)
    done = installed.cdp("health", "--json", DAGSTER_HOME=str(installed.root), DAGSTER_PG_HOST="127.0.0.1")
    (dagster,) = [each for each in done.json() if each["system"] == "PostgreSQL (Dagster)"]
    assert dagster["state"] in {"warn", "error"}
    assert [words for words in advice if words not in dagster["advice"]] == []
    assert {path.name for path in installed.root.iterdir()} == {"dagster.yaml"}


def test_the_sandbox_the_demo_and_the_dagster_ui_run_in_a_folder_that_init_prepared(installed: Checkout):
    assert installed.cdp("init").code == 0
    # Nothing is filled in, so the sandbox may.
    started = installed.cdp("sandbox", "start", "--json")
    assert started.json()["used_by_commands"]
    home = Path(installed.env["DAGSTER_HOME"])
    assert (home / "dagster.yaml").read_bytes() == (ROOT / "dagster.yaml").read_bytes()
    assert installed.cdp("migrate").code == 0
    assert installed.cdp("tenant", "add", "acme", "--database", "acme").code == 0
    found = {each["system"]: each["state"] for each in installed.cdp("health", "--json").json()}
    assert found["PostgreSQL (warehouse)"] == found["PostgreSQL (Dagster)"] == "ok"
    demo = installed.cdp("demo", "--scale", "small")
    assert demo.code == 0, demo.out + demo.err
    with (installed.home / "up.txt").open("wb") as output:
        process = psutil.Popen(
            [str(installed.programs / "cdp"), "up", "--scale", "small"],
            cwd=installed.root,
            env=installed.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        said = installed.home / "up.txt"
        wait_for(lambda: "Dagster UI" in said.read_text() or process.poll() is not None, 480, "cdp up")
        assert process.poll() is None, said.read_text()
        assert f"Stand-ins   {installed.env['ARANGO_HOST']}" in said.read_text()
        assert httpx2.get(installed.env["ARANGO_HOST"], timeout=30).status_code == 200
        assert httpx2.get(f"{installed.url}/server_info", timeout=30).status_code == 200
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(60)
    # The stand-ins keep their state in SQLite; Dagster does not.
    kept = [path for path in home.rglob("*") if path.is_file() and path.read_bytes()[:15] == b"SQLite format 3"]
    assert kept == []
