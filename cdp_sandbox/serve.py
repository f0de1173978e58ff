"""Runs the Dagster webserver and daemon and the web app in the foreground, and ends every process they started."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, NamedTuple

import click
import psutil

from cdp_sandbox import code_server
from cdp_sandbox.apollo import PATH as APOLLO_PATH
from cdp_sandbox.contract import Platform
from cdp_sandbox.lifecycle import WEB_PORT_VARIABLE, WEBSERVER_PORT_VARIABLE, Sandbox
from cdp_sandbox.outbox import PATH as OUTBOX_PATH
from cdp_sandbox.processes import HOST, SandboxError, end, free_port, is_alive, port_is_free

_PATIENCE_SECONDS = 15
_READY_SECONDS = 180
# A code server that ended is started again, but not if it ran for less than this.
_STEADY_SECONDS = 30
_CODE_SERVER = "code server"
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
        environment: Variables of its own.
        ready: Its port, and the path that answers there over HTTP once it is ready. Without a path it is ready when it
            listens. None if no other program needs it.
    """

    name: str
    command: list[str]
    log: str
    environment: Mapping[str, str] = MappingProxyType({})
    ready: tuple[int, str] | None = None


class _Child(NamedTuple):
    """A program that runs, and when it began (`time.monotonic()`)."""

    program: _Program
    process: subprocess.Popen[bytes]
    began: float


class _Family:
    """The programs that run. Each is noted in a file, so that another command can end those of a killed one."""

    def __init__(self, marker: Path, logs: Path) -> None:
        self._marker = marker
        self._logs = logs
        self._noted: list[dict[str, float]] = []
        self._children: list[_Child] = []
        self._loader = code_server.Loader()

    def start(self, program: _Program) -> None:
        process = _spawn(program, self._logs / program.log)
        self._children.append(_Child(program, process, time.monotonic()))
        # Runs of a code server that ended go on in its session, so it stays noted.
        self._noted.append(_identity(psutil.Process(process.pid)))
        self._marker.write_text(json.dumps({**_identity(psutil.Process()), "children": self._noted}))

    def wait_until_ready(self, program: _Program) -> None:
        """Wait until it answers.

        Raises:
            SandboxError: it does not, or one of the programs ended.
        """
        if program.ready is None:
            return
        port, path = program.ready
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            for child in self._children:
                self._raise_if_ended(child)
            if _answers(port, path):
                return
            time.sleep(0.2)
        raise SandboxError(f"Nothing answers at port {port} after {_READY_SECONDS} s: see the files in {self._logs}.")

    def look(self) -> None:
        """Start the code server again if it ended.

        Raises:
            SandboxError: another program ended, or the code server soon after its start.
        """
        for child in list(self._children):
            is_server = child.program.name == _CODE_SERVER
            if is_server and child.process.poll() is None and self._loader.is_gone(child.process.pid):
                end([psutil.Process(child.process.pid)], signal_number=signal.SIGTERM, patience=_PATIENCE_SECONDS)
            if is_server and child.process.poll() is not None and time.monotonic() - child.began > _STEADY_SECONDS:
                click.echo("The code server ended, and is started again.", err=True)
                self._children.remove(child)
                self.start(child.program)
                self.wait_until_ready(child.program)
            else:
                self._raise_if_ended(child)

    def end(self) -> None:
        """End all, and all that they started."""
        if not self._children:
            return
        _end_sessions(list({*(child.process.pid for child in self._children), *_left_behind(self._marker)}))
        for child in self._children:
            child.process.wait()
        self._marker.unlink(missing_ok=True)

    def _raise_if_ended(self, child: _Child) -> None:
        code = child.process.poll()
        if code is None:
            return
        name, log = child.program.name, self._logs / child.program.log
        if code < 0:
            raise SandboxError(f"The {name} was killed by {signal.Signals(-code).name} (see {log}).")
        # Its last lines may not be in the log yet.
        time.sleep(0.5)
        _, _, written = log.read_text(errors="replace").rpartition(_STARTED)
        _, *lines = _COLOR.sub("", written).strip().splitlines()
        last = lines[-1] if lines else "no output"
        raise SandboxError(f"The {name} ended with code {code}: {last} (see {log}).")


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
    family = _Family(marker, box.logs)
    # From here on these signals end the command in the ordinary way, so that it stops what it started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Under nohup the command goes on after the terminal has ended.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        prepare()
        programs = _programs(box)
        with platform.working("Starting the Dagster UI"):
            for program in programs:
                family.start(program)
                if program.name == _CODE_SERVER:
                    # The next ones ask it at their start.
                    family.wait_until_ready(program)
            for program in programs:
                family.wait_until_ready(program)
        _announce(platform, box, as_json=as_json)
        while True:
            family.look()
            time.sleep(1)
    except KeyboardInterrupt:
        click.echo("Stopping.", err=True)
    finally:
        # A second Ctrl-C must not leave half of them behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        family.end()
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
    file, programs, code_port = box.root / "workspace.yaml", [], free_port()
    if (of_one_server := code_server.workspace(file, code_port)) is not None:
        file = box.state_dir / "workspace.yaml"
        file.write_text(of_one_server)
        command, environment = code_server.command(code_port), code_server.ENVIRONMENT
        programs.append(_Program(_CODE_SERVER, command, "code-server.log", environment, ready=(code_port, "")))
    workspace = ["-w", str(file)]
    webserver = ["dagster-webserver", *workspace, "-h", HOST, "-p", str(box.webserver_port)]
    web_app = ["cdp", "serve", "--host", HOST, "--port", str(box.web_port)]
    return [
        *programs,
        _Program("web app", web_app, "web.log", ready=(box.web_port, "healthz")),
        _Program("Dagster webserver", webserver, "webserver.log", ready=(box.webserver_port, "server_info")),
        _Program("Dagster daemon", ["dagster-daemon", "run", *workspace], "daemon.log"),
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


def _spawn(program: _Program, log: Path) -> subprocess.Popen[bytes]:
    """Start a program of this environment in a session of its own, so that Ctrl-C reaches only this process."""
    name, *arguments = program.command
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
            [str(Path(sys.executable).with_name(name)), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=to_the_log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **program.environment},
            start_new_session=True,
        )


def _answers(port: int, path: str) -> bool:
    if not path:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=2):
            return True
        return False
    with (
        contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError),
        urllib.request.urlopen(f"http://{HOST}:{port}/{path}", timeout=2) as answer,
    ):
        return answer.status == 200
    return False


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
