"""The sandbox as a whole: real processes, started and stopped in temporary checkouts."""

import json
import os
import shutil
import signal
import smtplib
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import psycopg
import pytest
from arango.client import ArangoClient
from dotenv import dotenv_values
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials
from openai import OpenAI

from cdp_platform_tests.checkout_folder import new_checkout_folder
from cdp_sandbox.lifecycle import ComponentStatus, Sandbox
from cdp_sandbox.outbox.reports import signed
from cdp_sandbox.processes import HOST, SandboxError, free_port

START = """
import sys
from pathlib import Path
from cdp_sandbox.lifecycle import Sandbox
Sandbox(Path(sys.argv[1])).start()
"""


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def by_name(sandbox: Sandbox) -> dict[str, ComponentStatus]:
    return {component.name: component for component in sandbox.status()}


def processes_of(root: Path) -> list[psutil.Process]:
    """Whatever runs in, or was started with, a path below the folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        info = process.info
        mentions = [info["cwd"] or "", *(info["cmdline"] or [])]
        if info["status"] != psutil.STATUS_ZOMBIE and any(text.startswith(str(root)) for text in mentions):
            found.append(process)
    return found


# `cdp up` whose preparation fails: it ends before it starts anything.
UP = """
import os, sys
from pathlib import Path
from cdp_sandbox.lifecycle import Sandbox
from cdp_sandbox.serve import serve
os.chdir(sys.argv[1])
serve(None, Sandbox(Path.cwd()), lambda: sys.exit(3))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """An empty checkout; a sandbox left running in it is ended, whatever the test did."""
    root = new_checkout_folder(tmp_path)
    yield root
    Sandbox(root).stop()


@pytest.fixture(scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = new_checkout_folder(tmp_path_factory.mktemp("shared"))
    (root / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    yield root
    Sandbox(root).reset()


@pytest.fixture
def running(_shared: Path) -> Sandbox:
    """A running sandbox, shared by the module: what a test breaks in it, the start before the next puts right."""
    sandbox = Sandbox(_shared)
    sandbox.start()
    return sandbox


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which a program listens that has nothing to do with us: it hangs up on whoever comes."""
    with socketserver.TCPServer((HOST, 0), socketserver.BaseRequestHandler) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,))
        thread.start()
        yield listener.server_address[1]
        listener.shutdown()
        thread.join()


def test_looking_starts_and_writes_nothing(checkout: Path):
    sandbox = Sandbox(checkout)
    assert [(component.running, component.pid, component.problem) for component in sandbox.status()] == [
        (False, None, ""),
        (False, None, ""),
    ]
    assert not sandbox.env_points_here()
    with pytest.raises(SandboxError, match="cdp sandbox start"):
        sandbox.environment()
    assert list(checkout.iterdir()) == []


def test_both_components_answer_with_what_the_env_file_says(running: Sandbox):
    env = dotenv_values(running.root / ".env")
    assert env == running.environment()
    for prefix, database in (("PGSQL_OWNER", "PGSQL_DB_NAME"), ("DAGSTER_PG", "DAGSTER_PG_DB")):
        with psycopg.connect(
            host=env["PGSQL_DB_HOST"],
            port=env["PGSQL_DB_PORT"],
            dbname=env[database],
            user=env.get(f"{prefix}_USER") or env[f"{prefix}_USERNAME"],
            password=env[f"{prefix}_PASSWORD"],
        ) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS mine (id int)")
    arango = ArangoClient(hosts=env["ARANGO_HOST"] or "")
    assert arango.db("_system", env["ARANGO_USER"] or "", env["ARANGO_PASSWORD"] or "").has_database("_system")
    arango.close()


def test_the_owner_is_no_superuser_and_pgvector_is_there(running: Sandbox):
    env = running.environment()
    with psycopg.connect(
        host=HOST,
        port=env["PGSQL_DB_PORT"],
        dbname=env["PGSQL_DB_NAME"],
        user=env["PGSQL_OWNER_USER"],
        password=env["PGSQL_OWNER_PASSWORD"],
    ) as connection:
        rights = connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        )
        assert rights.fetchone() == (False, False, True)
        assert connection.execute("SELECT '[1]'::vector::text").fetchone() == ("[1]",)
        roles = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = 'cdp_app'").fetchall()
        assert roles == [], "the platform's own role is made by `cdp migrate`"


def test_status_says_where_since_when_and_by_which_process(running: Sandbox):
    postgres, services = running.status()
    assert (postgres.running, services.running) == (True, True)
    assert postgres.address == f"{HOST}:{running.postgres.port}"
    assert services.address == f"http://{HOST}:{running.services.port}"
    assert services.pid == running.services.answering_pid()
    assert postgres.since is not None
    assert abs(postgres.since.timestamp() - time.time()) < 600


@pytest.mark.parametrize("busy", [False, True])
def test_a_sandbox_that_ran_before_up_runs_after_it_however_busy_it_is(running: Sandbox, busy: bool):
    before = {name: component.pid for name, component in by_name(running).items()}
    services = psutil.Process(before["services"])
    if busy:
        services.suspend()
    try:
        ended = subprocess.run([sys.executable, "-c", UP, str(running.root)], check=False)
    finally:
        services.resume()
    assert ended.returncode == 3
    assert {name: component.pid for name, component in by_name(running).items()} == before
    assert all(component.running for component in running.status())


def test_a_second_start_is_quick_and_changes_nothing(running: Sandbox):
    before = running.status()
    began = time.monotonic()
    running.start()
    assert time.monotonic() - began < 10
    assert running.status() == before


def test_secrets_are_readable_by_their_owner_only(running: Sandbox):
    for path in (running.root / ".env", running.state_dir / "credentials.json"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_two_sandboxes_have_different_passwords(running: Sandbox, checkout: Path):
    (checkout / ".sandbox").mkdir(mode=0o711)
    other = Sandbox(checkout)
    other._ensure_credentials()
    assert other.environment()["PGSQL_OWNER_PASSWORD"] != running.environment()["PGSQL_OWNER_PASSWORD"]


def test_dagster_home_follows_the_checkout(running: Sandbox):
    copy = Path(running.environment()["DAGSTER_HOME"]) / "dagster.yaml"
    original = running.root / "dagster.yaml"
    assert copy.read_text() == original.read_text()
    original.write_text("telemetry: {enabled: false}\nlocal_artifact_storage: {}\n")
    running.start()
    assert copy.read_text() == original.read_text()


@pytest.mark.parametrize("component", ["postgres", "services"])
def test_a_killed_component_is_restarted_and_the_other_left_alone(running: Sandbox, component: str):
    before = by_name(running)
    other = next(name for name in before if name != component)
    os.kill(before[component].pid or 0, signal.SIGKILL)
    wait_for(lambda: not by_name(running)[component].running)
    running.start()
    after = by_name(running)
    assert after[component].running
    assert after[component].pid != before[component].pid
    assert after[other] == before[other]


def test_a_hung_services_process_is_reported_and_replaced(running: Sandbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cdp_sandbox.services._BUSY_SECONDS", 0.1)
    monkeypatch.setattr("cdp_sandbox.services._STOP_SECONDS", 0.1)
    pid = by_name(running)["services"].pid or 0
    os.kill(pid, signal.SIGSTOP)
    assert "does not answer" in by_name(running)["services"].problem
    running.start()
    assert by_name(running)["services"].running
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_busy_services_process_is_left_in_peace(running: Sandbox):
    before = by_name(running)["services"]
    process = psutil.Process(before.pid)
    process.suspend()
    waker = threading.Timer(2.5, process.resume)
    waker.start()
    running.start()
    waker.join()
    assert by_name(running)["services"] == before


def test_stop_leaves_no_process_and_keeps_the_data(running: Sandbox):
    env = running.environment()
    system = ArangoClient(hosts=env["ARANGO_HOST"]).db("_system", env["ARANGO_USER"], env["ARANGO_PASSWORD"])
    if not system.has_collection("kept"):
        system.create_collection("kept")
    began = time.monotonic()
    running.stop()
    assert time.monotonic() - began < 20
    assert processes_of(running.root) == []
    running.start()
    assert running.environment() == env
    assert system.has_collection("kept")


def test_stopping_what_does_not_run_is_fine(checkout: Path):
    Sandbox(checkout).stop()
    assert list(checkout.iterdir()) == []


def test_two_checkouts_do_not_meet(running: Sandbox, checkout: Path):
    other = Sandbox(checkout)
    assert {other.postgres.port, other.services.port}.isdisjoint({running.postgres.port, running.services.port})
    assert other.postgres.port == Sandbox(checkout).postgres.port
    assert all(20000 <= port < 30000 for port in (other.postgres.port, other.services.port))


def test_the_server_of_another_checkout_is_not_mistaken_for_ours(
    running: Sandbox, checkout: Path, monkeypatch: pytest.MonkeyPatch
):
    before = running.status()
    monkeypatch.setenv("SANDBOX_POSTGRES_PORT", str(running.postgres.port))
    monkeypatch.setenv("SANDBOX_SERVICES_PORT", str(running.services.port))
    intruder = Sandbox(checkout)
    for component in intruder.status():
        assert not component.running
        assert "taken by another program" in component.problem
    with pytest.raises(SandboxError, match="is taken by another program"):
        intruder.start()
    intruder.stop()
    assert running.status() == before


@pytest.mark.parametrize("variable", ["SANDBOX_POSTGRES_PORT", "SANDBOX_SERVICES_PORT", "SANDBOX_SMTP_PORT"])
def test_a_taken_port_is_named_with_its_variable(
    checkout: Path, taken: int, variable: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(variable, str(taken))
    with pytest.raises(SandboxError, match=f"port {taken}.*{variable}") as caught:
        Sandbox(checkout).start()
    assert "\n" not in str(caught.value)
    assert any(variable in component.problem for component in Sandbox(checkout).status())
    # Choosing another port is all it takes, and it need be chosen only once.
    monkeypatch.setenv(variable, str(free_port()))
    Sandbox(checkout).start()
    monkeypatch.delenv(variable)
    assert all(component.running for component in Sandbox(checkout).status())
    assert Sandbox(checkout).env_points_here()


@pytest.mark.parametrize("port", ["fast", "0", "70000", "-1", "٣٠٠٠"])
def test_a_port_that_is_none_is_refused(checkout: Path, port: str, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as wrong:
        wrong.setenv("SANDBOX_SERVICES_PORT", port)
        with pytest.raises(SandboxError, match="SANDBOX_SERVICES_PORT"):
            Sandbox(checkout)


def test_an_env_file_of_a_person_is_left_alone(running: Sandbox):
    env_file = running.root / ".env"
    as_written = env_file.read_text()
    try:
        env_file.write_text("PGSQL_DB_HOST=db.example.com\n")
        running.start()
        assert env_file.read_text() == "PGSQL_DB_HOST=db.example.com\n"
        assert not running.env_points_here()
        env_file.write_text(as_written + "APOLLO_API_KEY=mine\n")
        running.start()
        assert env_file.read_text() == as_written + "APOLLO_API_KEY=mine\n"
        assert running.env_points_here(), "an addition does not point it elsewhere"
    finally:
        env_file.unlink()
    running.start()
    assert env_file.read_text() == as_written


def test_a_variable_in_the_environment_goes_before_the_env_file(running: Sandbox, monkeypatch: pytest.MonkeyPatch):
    assert running.env_points_here()
    monkeypatch.setenv("ARANGO_HOST", "http://db.example.com:8529")
    assert not running.env_points_here()


def test_the_env_file_leads_to_the_stand_in_for_openai(running: Sandbox):
    env = dotenv_values(running.root / ".env")
    assert env["EMBEDDING_PROVIDER"] == "local"
    client = OpenAI(base_url=env["OPENAI_BASE_URL"], api_key=env["OPENAI_API_KEY"], max_retries=0)
    answer = client.embeddings.create(model="text-embedding-3-small", input="coffee")
    assert len(answer.data[0].embedding) == 1536


def test_the_env_file_leads_to_the_stand_in_for_google_sheets(running: Sandbox):
    env = dotenv_values(running.root / ".env")
    key = Path(env["GOOGLE_SERVICE_ACCOUNT_JSON"] or "")
    assert key.is_relative_to(running.state_dir)
    account = Credentials.from_service_account_file(key, scopes=["https://www.googleapis.com/auth/spreadsheets"])
    account.refresh(Request())
    answer = httpx2.get(
        f"{env['GOOGLE_SHEETS_URL']}/v4/spreadsheets/none", headers={"authorization": f"Bearer {account.token}"}
    )
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")
    assert "GOOGLE_SHEET_ID" not in env


def test_the_env_file_leads_to_the_stand_in_for_apollo(running: Sandbox):
    env = dotenv_values(running.root / ".env")
    assert env["APOLLO_BASE_URL"] == f"{env['SANDBOX_URL']}/apollo"
    answer = httpx2.get(
        f"{env['APOLLO_BASE_URL']}/api/v1/auth/health", headers={"x-api-key": env["APOLLO_API_KEY"] or ""}
    )
    assert answer.json() == {"healthy": True, "is_logged_in": True}


def test_the_env_file_has_a_secret_of_payments_of_its_own(running: Sandbox):
    secrets = dotenv_values(running.root / ".env")["PAYMENT_SECRETS"] or ""
    assert secrets.startswith("whsec_")
    assert "," not in secrets
    assert len(secrets) >= 32


def test_the_env_file_leads_to_the_outbox(running: Sandbox):
    env = dotenv_values(running.root / ".env")
    with smtplib.SMTP(HOST, int(env["SANDBOX_SMTP_PORT"] or 0), timeout=30) as client:
        client.starttls(context=ssl.create_default_context(cafile=env["SANDBOX_CA_FILE"]))
        client.login(env["SANDBOX_SMTP_USER"] or "", env["SANDBOX_SMTP_PASSWORD"] or "")
        client.sendmail("a@example.com", ["b@example.com"], "Message-ID: <from-env@example.com>\r\n\r\nHello")
    body = b'{"to": "+84901234567", "text": "Hello"}'
    headers = {**signed(env["OUTBOX_SECRET"] or "", body), "idempotency-key": "k1"}
    answer = httpx2.post(f"{env['SANDBOX_URL']}/outbox/webhook/sms", content=body, headers=headers)
    assert answer.status_code == 200
    messages = httpx2.get(f"{env['SANDBOX_URL']}/outbox/messages").json()
    assert [message["key"] for message in messages] == ["from-env", "k1"]


def test_a_folder_of_an_earlier_version_gets_the_secrets_that_it_lacks(checkout: Path):
    sandbox = Sandbox(checkout)
    sandbox.start()
    credentials = sandbox.state_dir / "credentials.json"
    had = json.loads(credentials.read_text())
    credentials.write_text(json.dumps({name: had[name] for name in had if name not in {"outbox", "web"}}))
    sandbox.start()
    has = json.loads(credentials.read_text())
    assert has.keys() == had.keys()
    assert {name: has[name] for name in has if name not in {"outbox", "web"}}.items() <= had.items()
    assert has["outbox"] not in {had["outbox"], has["web"]}


def test_a_key_of_openai_in_the_shell_leads_nowhere_else(running: Sandbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody")
    monkeypatch.setenv("EMBEDDING_PROVIDER", "openai")
    assert running.env_points_here()
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.com/v1")
    assert not running.env_points_here()


def test_a_path_with_blanks_and_quotes_survives_the_env_file(tmp_path: Path):
    root = tmp_path / "Nam's # check out"
    root.mkdir()
    sandbox = Sandbox(root)
    try:
        sandbox.start()
        assert dotenv_values(root / ".env") == sandbox.environment()
    finally:
        sandbox.reset()


def test_reset_deletes_what_the_sandbox_wrote_and_nothing_else(checkout: Path):
    (checkout / "mine.txt").write_text("kept")
    sandbox = Sandbox(checkout)
    sandbox.start()
    sandbox.reset()
    assert [path.name for path in checkout.iterdir()] == ["mine.txt"]
    assert processes_of(checkout) == []
    sandbox.start()
    with (checkout / ".env").open("a") as env_file:
        env_file.write("APOLLO_API_KEY=mine\n")
    sandbox.reset()
    assert sorted(path.name for path in checkout.iterdir()) == [".env", "mine.txt"]


def test_lost_passwords_are_an_error_that_says_what_to_do(checkout: Path):
    sandbox = Sandbox(checkout)
    sandbox.start()
    sandbox.stop()
    (checkout / ".sandbox" / "credentials.json").unlink()
    with pytest.raises(SandboxError, match="cdp sandbox reset"):
        sandbox.start()
    sandbox.reset()


def test_a_state_folder_deleted_under_running_processes_does_not_outlive_a_start(checkout: Path):
    Sandbox(checkout).start()
    shutil.rmtree(checkout / ".sandbox")
    Sandbox(checkout).start()
    assert all(component.running for component in Sandbox(checkout).status())
    assert Sandbox(checkout).env_points_here()


@pytest.mark.parametrize("seconds", [0.2, 0.45, 0.7])
def test_a_start_that_was_killed_is_repaired_by_the_next(checkout: Path, seconds: float):
    starter = subprocess.Popen([sys.executable, "-c", START, str(checkout)])
    time.sleep(seconds)
    starter.kill()
    starter.wait()
    Sandbox(checkout).start()
    assert all(component.running for component in Sandbox(checkout).status())
    assert Sandbox(checkout).env_points_here()
    Sandbox(checkout).stop()
    wait_for(lambda: processes_of(checkout) == [])


def test_starts_at_the_same_moment_make_one_sandbox(checkout: Path):
    starters = [subprocess.Popen([sys.executable, "-c", START, str(checkout)]) for _ in range(3)]
    assert [starter.wait(timeout=60) for starter in starters] == [0, 0, 0]
    assert len(Sandbox(checkout).services.processes()) == 1
    assert all(component.running for component in Sandbox(checkout).status())
