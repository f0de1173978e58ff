"""The embedded PostgreSQL server: real processes in temporary folders."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from cdp_sandbox.postgres import EmbeddedPostgres, temporary_postgres
from cdp_sandbox.processes import HOST, PortTakenError, SandboxError, free_port

PASSWORD = "it's a \\ secret"


def connect(postgres: EmbeddedPostgres, password: str = PASSWORD) -> psycopg.Connection:
    return psycopg.connect(host=HOST, port=postgres.port, user="postgres", password=password, autocommit=True)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def processes_in(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter(["cwd", "status"]):
        with contextlib.suppress(psutil.Error):
            if process.info["status"] != psutil.STATUS_ZOMBIE and str(process.cwd()).startswith(str(folder)):
                found.append(process.pid)
    return found


@pytest.fixture(scope="module")
def _server() -> Iterator[EmbeddedPostgres]:
    with temporary_postgres(superuser_password=PASSWORD) as postgres:
        yield postgres


@pytest.fixture
def running(_server: EmbeddedPostgres) -> EmbeddedPostgres:
    """A running server, shared by the module: whatever a test does to its processes, the next finds it started."""
    _server.start(superuser_password=PASSWORD)
    return _server


def test_it_is_postgresql_18_with_pgvector_and_utc(running: EmbeddedPostgres):
    with connect(running) as connection:
        connection.execute("CREATE EXTENSION vector")
        row = connection.execute("SELECT '[1,2]'::vector <-> '[1,3]', current_setting('timezone'), lower('ĐẶNG')")
        assert row.fetchone() == (1.0, "UTC", "đặng")
        assert connection.info.server_version // 10000 == 18
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_a_wrong_password_is_refused(running: EmbeddedPostgres):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(running, "wrong")


def test_starting_a_running_server_changes_nothing(running: EmbeddedPostgres):
    before = running.process()
    with connect(running) as open_session:
        running.start(superuser_password="not looked at")
        open_session.execute("SELECT 1")
    assert running.process() == before


def test_what_was_stored_is_there_after_a_restart(running: EmbeddedPostgres):
    with connect(running) as connection:
        connection.execute("CREATE TABLE stopped AS SELECT 42 AS answer")
    running.stop()
    assert not running.is_running()
    running.start(superuser_password=PASSWORD)
    with connect(running) as connection:
        assert connection.execute("SELECT answer FROM stopped").fetchone() == (42,)


def test_stop_leaves_no_process_even_with_open_sessions(running: EmbeddedPostgres):
    with connect(running):
        assert processes_in(running.data_dir)
        running.stop()
    assert processes_in(running.data_dir) == []


def test_a_killed_postgres_is_restarted_with_all_that_was_committed(running: EmbeddedPostgres):
    with connect(running) as connection:
        connection.execute("CREATE TABLE killed AS SELECT 42 AS answer")
    server = running.process()
    assert server is not None
    server.kill()
    wait_for(lambda: not running.is_running())
    running.start(superuser_password=PASSWORD)
    with connect(running) as connection:
        assert connection.execute("SELECT answer FROM killed").fetchone() == (42,)


def test_a_killed_postgres_whose_children_hang_is_restarted(running: EmbeddedPostgres):
    server = running.process()
    assert server is not None
    children = server.children()
    assert children
    for child in children:
        child.suspend()
    server.kill()
    wait_for(lambda: not running.is_running())
    running.start(superuser_password=PASSWORD)
    with connect(running) as connection:
        connection.execute("SELECT 1")


def test_a_pid_file_that_names_a_foreign_process_is_not_believed(running: EmbeddedPostgres):
    running.stop()
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        lines = [bystander.pid, running.data_dir, int(time.time()), running.port, "", HOST, "", "ready"]
        pid_file = running.data_dir / "postmaster.pid"
        pid_file.write_text("".join(f"{line}\n" for line in lines))
        assert not running.is_running()
        running.stop()
        running.start(superuser_password=PASSWORD)
        assert running.is_running()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_an_initdb_that_was_killed_is_not_taken_for_a_data_directory(tmp_path: Path):
    postgres = EmbeddedPostgres(tmp_path / "pgdata", free_port())
    code = (
        "import sys; from pathlib import Path; from cdp_sandbox.postgres import EmbeddedPostgres;"
        f"EmbeddedPostgres(Path(sys.argv[1]), {postgres.port}).start(superuser_password='first')"
    )
    starter = subprocess.Popen([sys.executable, "-c", code, str(postgres.data_dir)])
    wait_for(lambda: any(tmp_path.glob("pgdata.unfinished-*/data/base")))
    starter.kill()
    starter.wait()
    try:
        postgres.start(superuser_password=PASSWORD)
        connect(postgres).close()
    finally:
        postgres.stop()
        wait_for(lambda: processes_in(tmp_path) == [])


def test_a_taken_port_is_an_error_and_nothing_is_left_running(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=str(port)):
            EmbeddedPostgres(tmp_path / "pgdata", port).start(superuser_password=PASSWORD)
    assert processes_in(tmp_path) == []


def test_another_port_moves_the_server(running: EmbeddedPostgres):
    moved = EmbeddedPostgres(running.data_dir, free_port())
    assert not moved.is_running()
    moved.start(superuser_password=PASSWORD)
    connect(moved).close()
    assert not running.is_running()


def test_why_it_does_not_start_is_said_in_one_line(running: EmbeddedPostgres):
    running.stop()
    settings = running.data_dir / "postgresql.conf"
    as_it_was = settings.read_text()
    settings.write_text(f"{as_it_was}work_mem = 'a lot'\n")
    try:
        with pytest.raises(SandboxError, match="contains errors") as caught:
            running.start(superuser_password=PASSWORD)
        assert "\n" not in str(caught.value)
    finally:
        settings.write_text(as_it_was)


def test_it_outlives_the_process_that_started_it(running: EmbeddedPostgres):
    running.stop()
    code = (
        "import sys; from pathlib import Path; from cdp_sandbox.postgres import EmbeddedPostgres;"
        f"EmbeddedPostgres(Path(sys.argv[1]), {running.port}).start(superuser_password='')"
    )
    subprocess.run([sys.executable, "-c", code, str(running.data_dir)], check=True, timeout=60)
    connect(running).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run the server as another user")
def test_root_opens_a_closed_folder_no_further_than_to_pass(tmp_path: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    postgres = EmbeddedPostgres(closed / "pgdata", free_port())
    postgres.start(superuser_password=PASSWORD)
    try:
        assert closed.stat().st_mode & 0o777 == 0o701
        server = postgres.process()
        assert server is not None
        assert server.uids().effective != 0
    finally:
        postgres.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="root runs it as somebody else; otherwise every test here is this one")
def test_an_ordinary_user_runs_it_as_itself():
    user = pwd.getpwnam("nobody")
    identity: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    # The interpreter of the tests may lie in root's home, where nobody else can run it.
    of_the_system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONDONTWRITEBYTECODE": "1"}
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, user.pw_uid, user.pw_gid)
    code = """
import psycopg
from cdp_sandbox.postgres import temporary_postgres
with temporary_postgres(superuser_password="x") as postgres:
    psycopg.connect(host="127.0.0.1", port=postgres.port, user="postgres", password="x").close()
    print(postgres.process().uids().real)
"""
    try:
        for python in (sys.executable, of_the_system):
            run: dict[str, Any] = {
                "cwd": folder,
                "env": {**environment, "TMPDIR": str(folder)},
                "text": True,
                **identity,
            }
            try:
                subprocess.run([python, "-c", "import psycopg"], check=True, capture_output=True, **run)
            except (OSError, subprocess.CalledProcessError):
                continue
            done = subprocess.run([python, "-c", code], check=False, capture_output=True, timeout=60, **run)
            assert (done.returncode, done.stdout.strip()) == (0, str(user.pw_uid)), done.stderr
            return
        pytest.skip("this machine has no Python that an ordinary user can run")
    finally:
        shutil.rmtree(folder)


def test_an_interrupted_start_leaves_nothing_that_cannot_be_stopped(running: EmbeddedPostgres):
    server = running.process()
    assert server is not None
    # Stopping a server that is already going down must not fail or hang.
    server.send_signal(signal.SIGTERM)
    running.stop()
    assert processes_in(running.data_dir) == []
