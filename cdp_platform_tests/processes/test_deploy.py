"""Every command of `deploy/`, run as a process: it starts, its health check agrees, and it ends when it is told to."""

import os
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import psutil
import pytest
import yaml

from cdp_platform_tests.deploy.files import DEPLOY, EVERYWHERE, Command, commands
from cdp_platform_tests.processes.conftest import PROGRAMS, Checkout, wait_for
from cdp_platform_tests.redis_server import RedisServer
from cdp_sandbox.processes import HOST, free_port, is_alive

# Ports of the files; each gets a free one here.
_CODE, _UI, _UI_READ_ONLY, _WEB = "4000", "3000", "3001", "8600"


class Machine:
    """A folder in which the commands run, with ports of its own."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.ports = {port: str(free_port()) for port in (_CODE, _UI, _UI_READ_ONLY, _WEB)}
        self.variables: dict[str, str] = {}
        self._logs = 0
        self.use(DEPLOY / "one-machine" / "workspace.yaml")

    def use(self, workspace: Path) -> None:
        """The workspace file, with the code server at the port that it has here."""
        said = yaml.safe_load(workspace.read_text())
        server = said["load_from"][0]["grpc_server"]
        assert str(server["port"]) == _CODE
        server.update(host=HOST, port=int(self.ports[_CODE]))
        (self.checkout.root / "workspace.yaml").write_text(yaml.safe_dump(said))

    def words(self, command: Command) -> list[str]:
        """The command as it runs here: other ports, and the programs of this environment."""
        here = [re.sub(r"\b(4000|3000|3001|8600)\b", lambda port: self.ports[port[0]], word) for word in command.words]
        here = [HOST if word == EVERYWHERE else word for word in here]
        return [str(PROGRAMS / here[0]) if (PROGRAMS / here[0]).exists() else here[0], *here[1:]]

    @property
    def environment(self) -> dict[str, str]:
        path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
        return {**self.checkout.env, **self.checkout.environment(), "PATH": path, **self.variables}

    def run(self, command: Command) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(command),
            cwd=self.checkout.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    @contextmanager
    def running(self, command: Command) -> Generator[psutil.Popen]:
        """The command as a process. It has to end when it is told to."""
        self._logs += 1
        output = self.checkout.home / f"deployed {self._logs}.log"
        with output.open("wb") as file:
            process = psutil.Popen(
                self.words(command),
                cwd=self.checkout.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
            assert process.poll() is None, output.read_text()
            process.send_signal(signal.SIGTERM)
            process.wait(90)
        finally:
            for each in [*(process.children(recursive=True) if is_alive(process) else []), process]:
                if is_alive(each):
                    each.kill()


def form(command: Command) -> tuple[str, ...]:
    """What a command says beside its address."""
    return tuple(HOST if word == EVERYWHERE else word.replace(_UI_READ_ONLY, _UI) for word in command.words)


def of(*words: str) -> list[Command]:
    """The commands that begin with these words, each form once."""
    return list({form(each): each for each in commands() if each.words[: len(words)] == words}.values())


def one(*words: str) -> Command:
    (command,) = of(*words)
    return command


def is_listening(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, int(port))) == 0


@pytest.fixture(scope="module")
def machine(tiny_checkout: Checkout) -> Machine:
    return Machine(tiny_checkout)


_MIGRATIONS = [*of("sh"), *of("cdp", "migrate"), *of("dagster", "instance")]
_CODE_SERVERS = of("dagster", "code-server")
_WEBSERVERS = of("dagster-webserver")
_DAEMONS = of("dagster-daemon", "run")
_WEB_APPS = of("cdp", "serve")
_WORKERS = of("cdp", "worker")
_HEALTH = [*of("dagster", "api"), *of("dagster-daemon", "liveness-check"), *of("python")]


def test_every_command_is_run_below():
    run = map(form, [*_MIGRATIONS, *_CODE_SERVERS, *_WEBSERVERS, *_DAEMONS, *_WEB_APPS, *_WORKERS, *_HEALTH])
    assert {form(each) for each in commands()} - set(run) == set()


@pytest.mark.parametrize("command", _MIGRATIONS, ids=str)
def test_a_migration_ends_well_also_when_there_is_nothing_to_do(machine: Machine, command: Command):
    done = machine.run(command)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", _WEB_APPS, ids=str)
def test_the_web_app_is_healthy(machine: Machine, command: Command):
    (health,) = [each for each in of("python") if "/healthz" in each.words[-1]]
    with machine.running(command):
        wait_for(lambda: is_listening(machine.ports[_WEB]), 60, "the web app")
        assert machine.run(health).returncode == 0
    assert machine.run(health).returncode != 0


@pytest.mark.parametrize("command", _CODE_SERVERS, ids=str)
def test_a_code_server_is_healthy(machine: Machine, command: Command):
    health = one("dagster", "api", "grpc-health-check")
    with machine.running(command):
        wait_for(lambda: machine.run(health).returncode == 0, 120, "the code server")
    assert machine.run(health).returncode != 0


@pytest.fixture(scope="module")
def code(machine: Machine) -> Iterator[None]:
    health = one("dagster", "api", "grpc-health-check")
    with machine.running(_CODE_SERVERS[0]):
        wait_for(lambda: machine.run(health).returncode == 0, 120, "the code server")
        yield


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("command", _WEBSERVERS, ids=str)
def test_a_webserver_is_healthy_and_one_that_is_read_only_refuses_changes(machine: Machine, command: Command):
    if command.where.endswith(".service"):
        machine.use(DEPLOY / "systemd" / "workspace.yaml")
    port = machine.ports[_UI_READ_ONLY if _UI_READ_ONLY in command.words else _UI]
    health = next(each for each in of("python") if "/server_info" in each.words[-1])
    probe = replace(health, words=tuple(word.replace(_UI, port) for word in health.words))
    with machine.running(command):
        wait_for(lambda: is_listening(port), 120, "the webserver")
        assert machine.run(probe).returncode == 0
        assert locations(port) == ["cdp_platform"]
        answered = ask(port, "mutation { reloadWorkspace { __typename } }")["reloadWorkspace"]["__typename"]
        assert answered == ("UnauthorizedError" if "--read-only" in command.words else "Workspace")


def ask(port: str, query: str) -> dict:
    answer = httpx2.post(f"http://{HOST}:{port}/graphql", json={"query": query}, timeout=60)
    return answer.raise_for_status().json()["data"]


def locations(port: str) -> list[str]:
    entries = ask(
        port,
        """{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } } }""",
    )["workspaceOrError"]["locationEntries"]
    return [each["name"] for each in entries if each["locationOrLoadError"]["__typename"] == "RepositoryLocation"]


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("command", _DAEMONS, ids=str)
def test_a_daemon_is_healthy(machine: Machine, command: Command):
    health = one("dagster-daemon", "liveness-check")
    with machine.running(command):
        wait_for(lambda: machine.run(health).returncode == 0, 120, "the daemon")


@pytest.mark.parametrize("command", _WORKERS, ids=str)
def test_a_worker_is_healthy(machine: Machine, command: Command, tmp_path: Path):
    (health,) = [each for each in of("python") if "slots" in each.words[-1]]
    redis = RedisServer(tmp_path)
    redis.start()
    machine.variables = redis.variables
    try:
        with machine.running(command):
            wait_for(lambda: machine.run(health).returncode == 0, 120, "the worker")
        assert machine.run(health).returncode != 0
    finally:
        redis.stop()
        machine.variables = {}


def test_a_shell_command_runs_both_migrations():
    (words,) = [each.words for each in of("sh")]
    assert words[:2] == ("sh", "-c")
    assert [shlex.split(part) for part in words[2].split("&&")] == [
        ["cdp", "migrate"],
        ["dagster", "instance", "migrate"],
    ]
