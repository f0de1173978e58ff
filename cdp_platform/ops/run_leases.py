"""Leases of runs: which process executes a run, and whether it is still alive.

Grain of ``ops.run_lease``: one row per run that a process executes now. The process renews it every few seconds and
deletes it at the end. `cdp_platform.orchestration.lost_runs` ends runs whose process is gone. A process that was only
stopped, or cut off, may come back after that: the run may have been retried meanwhile. Its sessions were closed by the
server, and it ends itself as soon as it finds its lease gone.
"""

import os
import socket
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import psycopg
from psycopg.rows import class_row

from cdp_platform.errors import PlatformError
from cdp_platform.ops.leases import Connect, beating
from cdp_platform.warehouse.statements import statement

RENEW_SECONDS = 5.0
# Several renewals may fail before a lease ends.
SILENCE_SECONDS = 25.0
# If somebody sets the clock while a process runs, the system reports another start of the process.
_SAME_START_SECONDS = 60.0

_held: set[str] = set()


@dataclass(frozen=True)
class Process:
    """A process, described so that other processes can find it again.

    Attributes:
        host: name of the machine or container, for people.
        space: within which a process number means one process: one boot of a machine, and one container on it.
        pid: number of the process in that space.
        started_at: the moment when it started.
    """

    host: str
    space: str
    pid: int
    started_at: datetime

    def is_running(self) -> bool | None:
        """Whether it exists and is not stopped; None if this process cannot see that."""
        import psutil  # noqa: PLC0415 (only processes with runs pay for importing it)

        if self.space != this_process().space:
            return None
        try:
            there = psutil.Process(self.pid)
            moved = abs(there.create_time() - self.started_at.timestamp())
            status = there.status()
        except psutil.NoSuchProcess:
            return False
        except psutil.Error:
            return None
        if status == psutil.STATUS_ZOMBIE or moved > _SAME_START_SECONDS:
            return False
        # A stopped process (Ctrl-Z) counts as dead once its lease has ended, because others wait for it.
        return None if status == psutil.STATUS_STOPPED else True


@lru_cache(maxsize=1)
def _process_of(pid: int) -> Process:
    import psutil  # noqa: PLC0415

    started = datetime.fromtimestamp(psutil.Process(pid).create_time(), UTC)
    return Process(socket.gethostname(), _space(), pid, started)


def this_process() -> Process:
    """The process that calls this."""
    return _process_of(os.getpid())


def _space() -> str:
    parts = [socket.gethostname()]
    # Two containers of the same image may have the same name; Linux tells them apart.
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


@dataclass(frozen=True)
class Lease:
    """A run, and the process that executes it.

    Attributes:
        run_id: as Dagster names it.
        command: the program that executes it, such as ``cdp sync``.
        host: as in `Process`, like the next three.
        silent_seconds: seconds since the process last renewed the lease.
    """

    run_id: str
    command: str
    host: str
    space: str
    pid: int
    process_started_at: datetime
    silent_seconds: float

    @property
    def lost(self) -> bool:
        """Whether the process is gone. On the same machine that is seen at once, on others by its silence."""
        running = Process(self.host, self.space, self.pid, self.process_started_at).is_running()
        return self.silent_seconds > SILENCE_SECONDS if running is None else not running

    def __str__(self) -> str:
        """The process, in the words of a message."""
        return f"{self.command} (process {self.pid} on {self.host})"


def find(connection: psycopg.Connection) -> dict[str, Lease]:
    """All leases by run."""
    with connection.cursor(row_factory=class_row(Lease)) as cursor:
        return {lease.run_id: lease for lease in cursor.execute(statement("ops", "run_leases")).fetchall()}


@contextmanager
def ending(connection: psycopg.Connection, lease: Lease) -> Generator[bool]:
    """End a lost lease together with the work of the block; yields False if another process is doing that."""
    with connection.transaction():
        mine = connection.execute(
            "SELECT FROM ops.run_lease WHERE run_id = %s AND pid = %s AND space = %s FOR UPDATE SKIP LOCKED",
            [lease.run_id, lease.pid, lease.space],
        ).fetchone()
        yield mine is not None
        if mine is not None:
            connection.execute("DELETE FROM ops.run_lease WHERE run_id = %s", [lease.run_id])


def end_sessions(connection: psycopg.Connection, lease: Lease) -> None:
    """Close the sessions that a run of Dagster has on this server, so that its process commits nothing any more.

    A command has no name of its own for them. Nobody retries its run but the person who typed it.
    """
    connection.execute(statement("ops", "end_run_sessions"), [f"run {lease.run_id[:8]} "])


def name_of_run(run_id: str, job_name: str) -> str:
    """What the process of a run of Dagster is called; `end_sessions` finds its sessions by that."""
    return f"run {run_id[:8]} {job_name}"


@contextmanager
def held(connect: Connect, run_id: str, command: str) -> Generator[None]:
    """Hold the lease of a run while this process executes it. Does nothing if this process holds it already.

    A lease that cannot be written does not fail the run: the run itself reports what is wrong with the warehouse. If
    others have ended the lease, this process ends at once, without a cleanup that would write more.
    """
    if run_id in _held:
        yield
        return
    lease = _Held(connect, run_id, command)
    _held.add(run_id)
    lease.beat()
    try:
        with beating(lease.beat, every_seconds=RENEW_SECONDS):
            yield
    finally:
        _held.discard(run_id)
        with _tolerantly(), connect() as connection:
            connection.execute("DELETE FROM ops.run_lease WHERE run_id = %s", [run_id])


class _Held:
    def __init__(self, connect: Connect, run_id: str, command: str) -> None:
        self._connect = connect
        self._run_id = run_id
        self._command = command
        self._taken = False

    def beat(self) -> None:
        process = this_process()
        with _tolerantly(), self._connect() as connection:
            if not self._taken:
                connection.execute(
                    statement("ops", "take_run_lease"),
                    [self._run_id, self._command, process.host, process.space, process.pid, process.started_at],
                )
                self._taken = True
            elif not connection.execute(
                statement("ops", "renew_run_lease"), [self._run_id, process.space, process.pid]
            ).rowcount:
                _end_this_process(self._run_id)


def _end_this_process(run_id: str) -> None:
    sys.stderr.write(
        f"error: The run {run_id} was ended by others, as this process had not renewed its lease for "
        f"{SILENCE_SECONDS:.0f} s. This process ends too.\n"
    )
    sys.stderr.flush()
    os._exit(1)


def _tolerantly() -> AbstractContextManager[None]:
    return suppress(psycopg.Error, PlatformError)
