"""Runs the Dagster webserver and daemon and the web app in the foreground, and ends every process they started."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import click
import psutil

from cdp_sandbox.apollo import PATH as APOLLO_PATH
from cdp_sandbox.contract import Platform
from cdp_sandbox.lifecycle import WEB_PORT_VARIABLE, WEBSERVER_PORT_VARIABLE, Sandbox
from cdp_sandbox.outbox import PATH as OUTBOX_PATH
from cdp_sandbox.processes import HOST, SandboxError, end, is_alive, port_is_free

_PATIENCE_SECONDS = 15
_READY_SECONDS = 180
# A larger log is renamed at the start, and a new one begins; one older file is kept.
_LOG_BYTES = 10 * 1024 * 1024
_STARTED = "cdp up at "
# Runs print each event as a line of this kind, and the UI shows them all. Dagster's own setting would also silence
# `dagster asset materialize`.
_DEBUG_LINE = r"^[^ ]*[0-9-]{10} [0-9:]{8} [^ ]+ - [^ ]+ - [^ ]*DEBUG[^ ]* - "
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


class _Program(NamedTuple):
    """What `cdp up` runs.

    Attributes:
        name: For people.
        command: A program of this environment, and its arguments.
        log: Its file in the folder of logs.
    """

    name: str
    command: list[str]
    log: str


def serve(platform: Platform, box: Sandbox, prepare: Callable[[], None], *, as_json: bool = False) -> None:
    """Prepare, start webserver, daemon and web app, and wait for Ctrl-C, SIGTERM or the end of one of them.

    Prints the addresses as soon as the UI answers.

    Raises:
        SandboxError: the port is taken, the folder is already served, or a process did not start or ended by itself.
    """
    marker = box.state_dir / "up.json"
    if _serving(marker):
        raise SandboxError("This folder is being served already: `cdp down` stops it.")
    # Ends what a killed `cdp up` left: with a second daemon everything would run twice.
    _end_sessions(_left_behind(marker))
    # Looks at processes and not at answers, because stand-ins answer late on a busy machine, and a sandbox that ran
    # before must not be stopped at the end.
    sandbox_ran = all(component.pid is not None for component in box.status())
    children: list[subprocess.Popen[bytes]] = []
    # From here on these signals end the command in the ordinary way, so that it stops what it started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Under nohup the command goes on after the terminal has ended.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        prepare()
        programs = _programs(box)
        for program in programs:
            children.append(_spawn(program.command, box.logs / program.log))
            _note(marker, children)
        with platform.working("Starting the Dagster UI"):
            for port, path in ((box.webserver_port, "server_info"), (box.web_port, "healthz")):
                _wait_until_ready(port, path, children, programs, box.logs)
        _announce(platform, box, as_json=as_json)
        while True:
            _raise_if_one_ended(children, programs, box.logs)
            time.sleep(1)
    except KeyboardInterrupt:
        click.echo("Stopping.", err=True)
    finally:
        # A second Ctrl-C must not leave half of them behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        _end_sessions([child.pid for child in children])
        for child in children:
            child.wait()
        if children:
            marker.unlink(missing_ok=True)
        if not sandbox_ran:
            box.stop()


def _programs(box: Sandbox) -> list[_Program]:
    """The programs in the order of their start, once their ports are known to be free."""
    for port, what, variable in (
        (box.webserver_port, "Dagster UI", WEBSERVER_PORT_VARIABLE),
        (box.web_port, "web app", WEB_PORT_VARIABLE),
    ):
        if not port_is_free(port):
            raise SandboxError(f"Port {port} on {HOST} is taken, and the {what} needs one: set {variable} to another.")
    workspace = ["-w", str(Path.cwd() / "workspace.yaml")]
    webserver = ["dagster-webserver", *workspace, "-h", HOST, "-p", str(box.webserver_port)]
    web_app = ["cdp", "serve", "--host", HOST, "--port", str(box.web_port)]
    return [
        _Program("Dagster webserver", webserver, "webserver.log"),
        _Program("Dagster daemon", ["dagster-daemon", "run", *workspace], "daemon.log"),
        _Program("web app", web_app, "web.log"),
    ]


def _announce(platform: Platform, box: Sandbox, *, as_json: bool) -> None:
    ui, stand_ins = f"http://{HOST}:{box.webserver_port}", box.services_url
    logs = f"{box.logs.relative_to(Path.cwd())}/"
    web, outbox, apollo = f"http://{HOST}:{box.web_port}", f"{stand_ins}{OUTBOX_PATH}", f"{stand_ins}{APOLLO_PATH}"
    if as_json:
        pages = {"dagster_ui": ui, "web_app": web, "stand_ins": stand_ins, "outbox": outbox, "apollo": apollo}
        platform.show_json({**pages, "logs": logs})
    else:
        platform.say(
            f"Dagster UI  {ui}\nWeb app     {web}\nStand-ins   {stand_ins}\nOutbox      {outbox}\n"
            f"Apollo      {apollo}\nLogs        {logs}\n"
            "Schedules and sensors are on: a change in the stand-in for ArangoDB is in the tables within two minutes.\n"
            "Ctrl-C stops everything that this command started."
        )
    # Without this, a pipe or file would get the output only when the command ends.
    sys.stdout.flush()


def stop_serving(box: Sandbox) -> None:
    """End a `serve` of this folder that runs in another terminal, or what is left of one that was killed."""
    marker = box.state_dir / "up.json"
    process = _serving(marker)
    if process is not None:
        end([process], signal_number=signal.SIGTERM, patience=3 * _PATIENCE_SECONDS)
    _end_sessions(_left_behind(marker))
    marker.unlink(missing_ok=True)


def _spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program of this environment in a session of its own, so that Ctrl-C reaches only this process."""
    program = Path(sys.executable).with_name(command[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
    with log.open("ab") as output:
        # Separates the new lines from those of an earlier start.
        output.write(f"{_STARTED}{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n".encode())
        output.flush()
        # It ends when the last process that writes to it has ended.
        log_writer = subprocess.Popen(
            ["grep", "-a", "-E", "-v", "--line-buffered", _DEBUG_LINE],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    with log_writer.stdin as to_the_log:  # ty: ignore[invalid-context-manager]
        return subprocess.Popen(
            [str(program), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=to_the_log,
            stderr=subprocess.STDOUT,
            env=os.environ.copy(),
            start_new_session=True,
        )


def _wait_until_ready(
    port: int, path: str, children: list[subprocess.Popen[bytes]], programs: list[_Program], logs: Path
) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        _raise_if_one_ended(children, programs, logs)
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError),
            urllib.request.urlopen(f"http://{HOST}:{port}/{path}", timeout=2) as answer,
        ):
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise SandboxError(f"Nothing answers at port {port} after {_READY_SECONDS} s: see the files in {logs}.")


def _raise_if_one_ended(children: list[subprocess.Popen[bytes]], programs: list[_Program], logs: Path) -> None:
    for child, program in zip(children, programs, strict=True):
        code = child.poll()
        if code is None:
            continue
        log = logs / program.log
        if code < 0:
            raise SandboxError(f"The {program.name} was killed by {signal.Signals(-code).name} (see {log}).")
        # Its last lines may not be in the log yet.
        time.sleep(0.5)
        _, _, written = log.read_text(errors="replace").rpartition(_STARTED)
        _, *lines = _COLOR.sub("", written).strip().splitlines()
        last = lines[-1] if lines else "no output"
        raise SandboxError(f"The {program.name} ended with code {code}: {last} (see {log}).")


def _end_sessions(leaders: list[int]) -> None:
    """End processes and all that they started, such as code servers and runs.

    All processes of a session are found, also after the session's leader has ended.
    """
    end(
        [process for pid in leaders for process in _session(pid) if process.pid == pid],
        signal_number=signal.SIGINT,
        patience=_PATIENCE_SECONDS,
    )
    rest = [process for pid in leaders for process in _session(pid)]
    end(rest, signal_number=signal.SIGTERM, patience=_PATIENCE_SECONDS)


def _session(leader: int) -> list[psutil.Process]:
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(pid) == leader and is_alive(process := psutil.Process(pid)):
                found.append(process)
    return found


def _note(marker: Path, children: list[subprocess.Popen[bytes]]) -> None:
    own, *noted = [_identity(psutil.Process(pid)) for pid in (os.getpid(), *(child.pid for child in children))]
    marker.write_text(json.dumps({**own, "children": noted}))


def _noted(marker: Path) -> dict[str, Any]:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return json.loads(marker.read_text())
    return {}


def _serving(marker: Path) -> psutil.Process | None:
    noted = _noted(marker)
    return _same(noted) if noted else None


def _left_behind(marker: Path) -> list[int]:
    """Session leaders that the noted `serve` started and whose sessions still have processes."""
    noted = _noted(marker).get("children", [])
    # The id of a leader that has ended can be reused, but not while its session lasts. Processes of another session
    # would not work in this folder.
    here = Path.cwd()
    return [
        child["pid"]
        for child in noted
        if _same(child) or any(_works_in(process, here) for process in _session(child["pid"]))
    ]


def _works_in(process: psutil.Process, folder: Path) -> bool:
    with contextlib.suppress(psutil.Error):
        return Path(process.cwd()) == folder
    return False


def _same(noted: dict[str, Any]) -> psutil.Process | None:
    """The noted process if it is alive. Its id may belong to another program by now."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(noted["pid"])
        if process.create_time() == noted["started"] and is_alive(process):
            return process
    return None


def _identity(process: psutil.Process) -> dict[str, float]:
    return {"pid": process.pid, "started": process.create_time()}


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
