"""The services process: starts and stops `python -m cdp_sandbox.server`, one process for every stand-in.

Here belongs finding, starting, asking and ending that process. What it serves is in `server.py` and the stand-ins.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from cdp_sandbox.processes import HOST, SandboxError, end, is_alive, require_free

_MODULE = "cdp_sandbox.server"
_START_SECONDS = 90
_STOP_SECONDS = 3
_ANSWER_SECONDS = 2
_BUSY_SECONDS = 10


@dataclass
class ServicesProcess:
    """The stand-ins on one state folder and one port of 127.0.0.1. The process outlives the one that starts it.

    Attributes:
        state_dir: Absolute path of the folder where the stand-ins keep their state. It says whose process it is.
        port: TCP port of its web front.
        smtp_port: TCP port of its SMTP server.
        log_file: Where its output goes.
    """

    state_dir: Path
    port: int
    smtp_port: int
    log_file: Path
    _spawned: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def start(self, *, environment: Mapping[str, str]) -> None:
        """Start the process if it does not answer, and wait until it does.

        Args:
            environment: Variables for the process, on top of the ones that this process has.

        Raises:
            PortTakenError: Another program listens on the port.
            SandboxError: It ends again, or does not answer in time.
        """
        if self.answering_pid() is not None:
            return
        # A long request holds up everything else. Only a process that stays silent for longer is taken for hung.
        if self.processes() and self.answering_pid(patience=_BUSY_SECONDS) is not None:
            return
        self.stop()
        require_free(self.port)
        require_free(self.smtp_port)
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        ports = ["--port", str(self.port), "--smtp-port", str(self.smtp_port)]
        command = [sys.executable, "-m", _MODULE, "--host", HOST, *ports]
        with self.log_file.open("ab") as log:
            self._spawned = subprocess.Popen(
                [*command, "--state-dir", str(self.state_dir)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while self.answering_pid() is None:
            if self._spawned.poll() is not None:
                raise SandboxError(f"the services process does not start: {_last_line(self.log_file)}")
            if time.monotonic() > deadline:
                raise SandboxError(f"the services process does not answer on port {self.port}: see {self.log_file}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End every services process of this state folder and wait until they are gone. None is fine."""
        end(self.processes(), signal_number=signal.SIGTERM, patience=_STOP_SECONDS)
        if self._spawned is not None:
            self._spawned.wait()
            self._spawned = None

    def answering_pid(self, *, patience: float = _ANSWER_SECONDS) -> int | None:
        """Ask the port who is there, and return the process id if it is the services process of this state folder.

        One that serves SMTP at another port, or not at all, counts as none: `start` puts a new one in its place.

        Args:
            patience: Seconds to wait for an answer. Where nobody listens, there is nothing to wait for.
        """
        connection = http.client.HTTPConnection(HOST, self.port, timeout=patience)
        try:
            connection.request("GET", "/healthz")
            answer = json.loads(connection.getresponse().read())
            known = (answer["state_dir"], answer["smtp_port"])
            return int(answer["pid"]) if known == (str(self.state_dir), self.smtp_port) else None
        # Whatever else listens there may answer anything, or nothing.
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
            return None
        finally:
            connection.close()

    def processes(self) -> list[psutil.Process]:
        """Return the running services processes of this state folder, answering or not.

        They are known by their command lines and not by a recorded process id: a record can be missing after a
        crash, and its number can belong to another program after a reboot.
        """
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if _MODULE in (command := process.info["cmdline"] or [])
            and command[-2:] == ["--state-dir", str(self.state_dir)]
            and is_alive(process)
        ]


def _last_line(log_file: Path) -> str:
    lines = log_file.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1] if lines else 'no output'} (see {log_file})"
