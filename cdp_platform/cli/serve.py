"""The Dagster webserver and daemon in the foreground, and every process that was started gone afterwards."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from cdp_platform import settings
from cdp_platform.cli.printing import console
from cdp_platform.errors import ConfigurationError
from cdp_platform.sandbox.processes import HOST, end, is_alive, port_is_free

_PATIENCE_SECONDS = 15
_READY_SECONDS = 90


def serve(box: Any, prepare: Callable[[], Any]) -> None:
    """Prepare, start webserver and daemon, and wait for Ctrl-C, SIGTERM or the death of one of them.

    Raises:
        ConfigurationError: the port is taken, it is served already, or a process did not start or ended by itself.
    """
    marker = box.state_dir / "up.json"
    if _serving(marker):
        raise ConfigurationError("This folder is being served already: `make down` stops it.")
    sandbox_ran = all(component.running for component in box.status())
    children: list[subprocess.Popen[bytes]] = []
    # From here on SIGTERM is an ordinary way out, so that what was started is stopped on it too.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        prepare()
        port = settings.platform().dagster_webserver_port
        if not port_is_free(port):
            raise ConfigurationError(
                f"Port {port} on {HOST} is taken, and the Dagster UI needs one: set DAGSTER_WEBSERVER_PORT to another."
            )
        marker.write_text(json.dumps(_identity(psutil.Process())))
        workspace = ["-w", str(Path.cwd() / "workspace.yaml")]
        children = [
            _spawn(["dagster-webserver", *workspace, "-h", HOST, "-p", str(port)], box.logs / "webserver.log"),
            _spawn(["dagster-daemon", "run", *workspace], box.logs / "daemon.log"),
        ]
        with console.status("Starting the Dagster UI"):
            _wait_until_ready(port, children, box.logs)
        console.print(
            f"Dagster UI  http://{HOST}:{port}\nLogs        {box.logs.relative_to(Path.cwd())}/\n"
            "Schedules and sensors are on: a change in the stand-in ArangoDB is picked up within a minute.\n"
            "Ctrl-C stops everything that this command started."
        )
        while True:
            _raise_if_one_ended(children, box.logs)
            time.sleep(1)
    except KeyboardInterrupt:
        console.print("Stopping.")
    finally:
        # A second Ctrl-C must not leave half of them behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for child in children:
            _end_family(child)
        marker.unlink(missing_ok=True)
        if not sandbox_ran:
            box.stop()


def stop_serving(box: Any) -> None:
    """End a `serve` of this folder that runs in another terminal, and wait until it has cleaned up."""
    process = _serving(box.state_dir / "up.json")
    if process is not None:
        end([process], signal_number=signal.SIGTERM, patience=3 * _PATIENCE_SECONDS)


def _spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program of this environment in a session of its own: Ctrl-C in the terminal reaches us alone."""
    program = Path(sys.executable).with_name(command[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(program), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ.copy(),
            start_new_session=True,
        )


def _wait_until_ready(port: int, children: list[subprocess.Popen[bytes]], logs: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        _raise_if_one_ended(children, logs)
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError),
            urllib.request.urlopen(f"http://{HOST}:{port}/server_info", timeout=2) as answer,
        ):
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise ConfigurationError(f"The Dagster UI does not answer after {_READY_SECONDS} s; see {logs / 'webserver.log'}.")


def _raise_if_one_ended(children: list[subprocess.Popen[bytes]], logs: Path) -> None:
    for child, name in zip(children, ("webserver", "daemon"), strict=True):
        if child.poll() is not None:
            lines = (logs / f"{name}.log").read_text(errors="replace").strip().splitlines()
            raise ConfigurationError(
                f"The Dagster {name} ended with code {child.returncode}: {lines[-1] if lines else 'no output'} "
                f"(see {logs / f'{name}.log'})."
            )


def _end_family(child: subprocess.Popen[bytes]) -> None:
    """End a child and whatever it started, code servers and runs among them."""
    try:
        family = psutil.Process(child.pid)
        descendants = family.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    end([family], signal_number=signal.SIGINT, patience=_PATIENCE_SECONDS)
    end([p for p in descendants if is_alive(p)], signal_number=signal.SIGTERM, patience=_PATIENCE_SECONDS)
    child.wait()


def _serving(marker: Path) -> psutil.Process | None:
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess, ValueError):
        noted = json.loads(marker.read_text())
        process = psutil.Process(noted["pid"])
        # The number may belong to another program by now.
        if _identity(process) == noted and is_alive(process):
            return process
    return None


def _identity(process: psutil.Process) -> dict[str, float]:
    return {"pid": process.pid, "started": process.create_time()}


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
