"""Helpers for processes and ports, and the error class of the sandbox.

`lifecycle.py` and `postgres.py` know which processes there are, and in which order they start and stop.
"""

import contextlib
import signal
import socket
import time
from collections.abc import Iterable

import click
import psutil

HOST = "127.0.0.1"
"""The only address that anything in the sandbox listens on."""


class SandboxError(click.ClickException):
    """The sandbox cannot do what was asked. The message is one line and says what to do.

    A command line shows it as it shows its own errors.
    """


class PortTakenError(SandboxError):
    """Another program listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} on {HOST} is taken by another program: choose another port")
        self.port = port


def require_free(port: int) -> None:
    """Raise PortTakenError if no server can listen on this port of 127.0.0.1.

    A process that was killed a moment ago may hold its port until the last of its threads has gone, hence a second's
    patience.
    """
    deadline = time.monotonic() + 1
    while not port_is_free(port):
        if time.monotonic() > deadline:
            raise PortTakenError(port)
        time.sleep(0.02)


def port_is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this too: connections that were closed a moment ago do not keep a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process still runs. One that has ended and only waits for its parent to notice does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end(processes: Iterable[psutil.Process], *, signal_number: int, patience: float) -> None:
    """Ask processes to end, wait for them, and kill those that have not ended after `patience` seconds.

    Args:
        processes: What to end. Processes that are gone already are fine.
        signal_number: How to ask.
        patience: Seconds to wait before the kill.
    """
    left = list(processes)
    for number, seconds in ((signal_number, patience), (signal.SIGKILL, 5.0)):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        deadline = time.monotonic() + seconds
        # Not psutil.wait_procs: it waits for an ended process until its parent has collected it, which may be never.
        while (left := [process for process in left if is_alive(process)]) and time.monotonic() < deadline:
            time.sleep(0.01)
        if not left:
            return
