"""The sandbox as a real process with a port and a folder of its own, and clients that talk to it over sockets."""

import itertools
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import pytest
from arango import ArangoClient

from cdp_sandbox.outbox import CERTIFICATE_FILE
from cdp_sandbox.processes import free_port

# A python-arango database. Its own types make every answer a union with the jobs of its asynchronous modes.
Database: TypeAlias = Any

PASSWORD = "root-password"
TOKEN_SECRET = "a secret of thirty-two characters and more"
OUTBOX_SECRET = "what webhooks and reports are signed with"
_numbers = itertools.count(1)
# Making a context takes longer than most requests, and nothing here is encrypted.
_TLS = ssl.create_default_context()
_control = httpx2.Client(timeout=30, verify=_TLS)


@dataclass
class SandboxProcess:
    """One services process. It can be ended and started again on the same folder and port."""

    state_dir: Path
    port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def smtp_port(self) -> int:
        return _control.get(f"{self.url}/healthz").json()["smtp_port"]

    @property
    def certificate_file(self) -> Path:
        return self.state_dir / CERTIFICATE_FILE

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        command = [sys.executable, "-m", "cdp_sandbox.server", "--port", str(self.port)]
        secrets = {"ARANGO_PASSWORD": PASSWORD, "ARANGO_JWT_SECRET": TOKEN_SECRET, "OUTBOX_SECRET": OUTBOX_SECRET}
        environment = {**os.environ, **secrets}
        self._process = subprocess.Popen([*command, "--state-dir", str(self.state_dir)], env=environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                _control.get(f"{self.url}/healthz")
            except httpx2.TransportError:
                time.sleep(0.03)
            else:
                return
        raise RuntimeError("the sandbox does not start")

    def end(self, signal_number: int = signal.SIGTERM) -> int | None:
        if self._process is None:
            return None
        self._process.send_signal(signal_number)
        code, self._process = self._process.wait(60), None
        return code

    def http(self, *, user: str = "root", password: str = PASSWORD) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, auth=(user, password), timeout=30, verify=_TLS)

    def arango(self, database: str = "_system", *, user: str = "root", password: str = PASSWORD) -> Database:
        return ArangoClient(hosts=self.url).db(database, username=user, password=password)

    def new_database(self, **options: Any) -> Database:
        name = f"test_{next(_numbers)}"
        assert self.arango().create_database(name, **options)
        return self.arango(name)

    def spoil(self, *rules: dict[str, Any]) -> None:
        _control.post(f"{self.url}/_sandbox/faults", json=list(rules)).raise_for_status()

    def clear(self) -> None:
        _control.delete(f"{self.url}/_sandbox/faults")

    def fired(self) -> list[int]:
        return [rule["fired"] for rule in _control.get(f"{self.url}/_sandbox/faults").json()]


@pytest.fixture(scope="session")
def session_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox"), free_port())
    process.start()
    yield process
    process.end()


@pytest.fixture
def sandbox(session_sandbox: SandboxProcess) -> Iterator[SandboxProcess]:
    """The sandbox of the session, without faults."""
    yield session_sandbox
    session_sandbox.clear()


@pytest.fixture
def new_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], SandboxProcess]]:
    """Makes further processes, each with a folder of its own, for tests that end them."""
    processes: list[SandboxProcess] = []

    def make() -> SandboxProcess:
        processes.append(SandboxProcess(tmp_path_factory.mktemp("sandbox"), free_port()))
        processes[-1].start()
        return processes[-1]

    yield make
    for process in processes:
        process.end()
