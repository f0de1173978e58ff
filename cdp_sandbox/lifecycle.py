"""The sandbox of one checkout: start, stop, status and reset.

This module knows the components, their ports and passwords, and the variables that point the platform at them.
`postgres.py` and `services.py` start one component each; `databases.py` makes the platform's databases and roles; the
command line prints what a person reads.

The sandbox keeps all its data in `<checkout>/.sandbox/`. No file there records which processes run: the running
processes show that themselves. So a crash or a reboot leaves no wrong record, and the next start adds what is missing.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import psutil
from dotenv import dotenv_values

from cdp_sandbox import env_file
from cdp_sandbox.apollo import KEY as APOLLO_KEY
from cdp_sandbox.apollo import PATH as APOLLO_PATH
from cdp_sandbox.databases import (
    BACKUP_ROLE,
    DAGSTER_DATABASE,
    DAGSTER_ROLE,
    PLATFORM_ROLE,
    WAREHOUSE_DATABASE,
    WAREHOUSE_OWNER,
    provide,
)
from cdp_sandbox.openai import KEY as OPENAI_KEY
from cdp_sandbox.openai import PATH as OPENAI_PATH
from cdp_sandbox.outbox import CERTIFICATE_FILE, SMTP_PASSWORD, SMTP_USER
from cdp_sandbox.postgres import BINARIES, SUPERUSER, EmbeddedPostgres
from cdp_sandbox.processes import HOST, PortTakenError, SandboxError, port_is_free
from cdp_sandbox.services import ServicesProcess
from cdp_sandbox.sheets import KEY_FILE
from cdp_sandbox.sheets import PATH as SHEETS_PATH

POSTGRES_PORT_VARIABLE = "SANDBOX_POSTGRES_PORT"
SERVICES_PORT_VARIABLE = "SANDBOX_SERVICES_PORT"
WEBSERVER_PORT_VARIABLE = "DAGSTER_WEBSERVER_PORT"
SMTP_PORT_VARIABLE = "SANDBOX_SMTP_PORT"
WEB_PORT_VARIABLE = "CDP_WEB_PORT"

# Files of the checkout that refer to what the sandbox serves, by the variables that name them.
_REFERRING = {"INGESTION_CONFIG_PATH": "ingestion.yaml", "CHANNELS_CONFIG_PATH": "channels.yaml"}

# Variables that may differ while the platform still uses the sandbox: they are choices, not addresses. Many shells set
# a key of OpenAI or Apollo, which has no effect without OPENAI_BASE_URL or APOLLO_BASE_URL. Whose channels messages go
# out through is no choice.
_FREE = {
    *(
        "APOLLO_API_KEY",
        "ARANGO_DB",
        "DEFAULT_TENANT_ID",
        "EMBEDDING_PROVIDER",
        "INGESTION_CONFIG_PATH",
        "OPENAI_API_KEY",
    ),
    *(WEBSERVER_PORT_VARIABLE, WEB_PORT_VARIABLE, "CDP_WEB_URL", "CDP_WEB_KEYS", "OPT_OUT_JOURNAL", "PAYMENT_SECRETS"),
    *("ERASURE_JOURNAL", "PGSQL_BIN"),
}
_PREFERENCES = {"ARANGO_DB": "leo_cdp_saigon", "DEFAULT_TENANT_ID": "saigon", "EMBEDDING_PROVIDER": "local"}


@dataclass(frozen=True)
class SandboxAddresses:
    """Where the running components answer.

    Attributes:
        postgres: `host:port` of PostgreSQL.
        services: Base URL of the stand-ins; ArangoDB's HTTP interface is at its root, OpenAI's below `/openai`,
            Google Sheets' below `/sheets`, Apollo's below `/apollo`, the outbox below `/outbox`.
        smtp: `host:port` of the outbox's SMTP server.
    """

    postgres: str
    services: str
    smtp: str


@dataclass(frozen=True)
class ComponentStatus:
    """One component as it is at this moment.

    Attributes:
        name: `postgres` or `services`.
        running: It answers, and belongs to this checkout.
        address: Where it answers, or would answer once started.
        pid: Its process id, when there is a process.
        since: When that process was started, UTC.
        problem: What is wrong and what to do, in one line; empty if it runs or was not started.
    """

    name: str
    running: bool
    address: str
    pid: int | None = None
    since: datetime | None = None
    problem: str = ""


class Sandbox:
    """The sandbox of the checkout in `root`.

    Making one starts and writes nothing; it reads the ports from the environment and from `.env`.

    Args:
        root: The checkout.
        templates: The content of the files that `cdp init` writes there, by name. The sandbox uses `dagster.yaml` where
            the checkout has none, and fills in a `.env` that is still as `cdp init` wrote it.

    Attributes:
        root: The checkout.
        state_dir: Everything the sandbox keeps.
        dagster_home: `DAGSTER_HOME` of the platform when it runs on the sandbox.
        logs: What the components write while they run.
        postgres: The PostgreSQL server.
        services: The process of the stand-ins.
    """

    def __init__(self, root: Path, templates: Mapping[str, str] = MappingProxyType({})) -> None:
        self.root = root.resolve()
        self._templates = templates
        self.state_dir = self.root / ".sandbox"
        self.dagster_home = self.state_dir / "dagster_home"
        self.logs = self.state_dir / "logs"
        self._env_file = self.root / ".env"
        self._credentials_file = self.state_dir / "credentials.json"
        self.postgres = EmbeddedPostgres(
            self.state_dir / "pgdata", self._port(POSTGRES_PORT_VARIABLE, 0), self.logs / "postgres.log"
        )
        self.services = ServicesProcess(
            self.state_dir / "services",
            self._port(SERVICES_PORT_VARIABLE, 1),
            self._port(SMTP_PORT_VARIABLE, 3),
            self.logs / "services.log",
        )

    def start(self) -> SandboxAddresses:
        """Start what does not run, wait until it answers, and write `.env` if there is none.

        Returns:
            Where the components answer.

        Raises:
            SandboxError: A port is taken or a component does not start. The other component may run by then; the
                next start takes it from there.
        """
        with self._alone():
            self.state_dir.mkdir(mode=0o711, exist_ok=True)
            self._ensure_credentials()
            with ThreadPoolExecutor() as pool:
                started = [pool.submit(self._start_postgres), pool.submit(self._start_services)]
            for component in started:
                component.result()
            self._ensure_dagster_home()
            self._ensure_env_file()
        return SandboxAddresses(self._postgres_address, self.services_url, f"{HOST}:{self.services.smtp_port}")

    def stop(self) -> None:
        """Stop every component and wait until their processes are gone. What they stored is kept."""
        with self._alone():
            self._stop()

    def reset(self) -> None:
        """Stop, and delete everything stored, and `.env` too if it is still as the sandbox wrote it."""
        with self._alone():
            self._stop()
            if self._env_file_is_ours():
                self._env_file.unlink()
            if self.state_dir.exists():
                shutil.rmtree(self.state_dir)

    def status(self) -> list[ComponentStatus]:
        """The state of every component: whether it runs, where, since when, and what is wrong."""
        postgres, services = self.postgres, self.services
        return [
            _status(
                ComponentStatus("postgres", postgres.is_running(), self._postgres_address),
                postgres.process(),
                self._postgres_ports,
            ),
            _status(
                ComponentStatus("services", services.answering_pid() is not None, self.services_url),
                next(iter(services.processes()), None),
                self._services_ports,
            ),
        ]

    def environment(self) -> dict[str, str]:
        """Return the variables that point the platform, and Dagster, at this sandbox.

        Raises:
            SandboxError: It was never started.
        """
        passwords = self._credentials()
        return {
            "PGSQL_DB_HOST": HOST,
            "PGSQL_DB_PORT": str(self.postgres.port),
            "PGSQL_DB_NAME": WAREHOUSE_DATABASE,
            "PGSQL_DB_USER": PLATFORM_ROLE,
            "PGSQL_DB_PASSWORD": passwords[PLATFORM_ROLE],
            "PGSQL_OWNER_USER": WAREHOUSE_OWNER,
            "PGSQL_OWNER_PASSWORD": passwords[WAREHOUSE_OWNER],
            "PGSQL_BACKUP_USER": BACKUP_ROLE,
            "PGSQL_BACKUP_PASSWORD": passwords[BACKUP_ROLE],
            "PGSQL_BIN": str(BINARIES),
            "ARANGO_HOST": self.services_url,
            "ARANGO_USER": "root",
            "ARANGO_PASSWORD": passwords["arango"],
            "SANDBOX_URL": self.services_url,
            "OPENAI_BASE_URL": f"{self.services_url}{OPENAI_PATH}/v1",
            "OPENAI_API_KEY": OPENAI_KEY,
            "APOLLO_BASE_URL": f"{self.services_url}{APOLLO_PATH}",
            "APOLLO_API_KEY": APOLLO_KEY,
            "PAYMENT_SECRETS": f"whsec_{passwords['payments']}",
            "GOOGLE_SERVICE_ACCOUNT_JSON": str(self.services.state_dir / KEY_FILE),
            "GOOGLE_SHEETS_URL": f"{self.services_url}{SHEETS_PATH}",
            SMTP_PORT_VARIABLE: str(self.services.smtp_port),
            "SANDBOX_SMTP_USER": SMTP_USER,
            "SANDBOX_SMTP_PASSWORD": SMTP_PASSWORD,
            "SANDBOX_CA_FILE": str(self.services.state_dir / CERTIFICATE_FILE),
            "OUTBOX_SECRET": passwords["outbox"],
            "CDP_WEB_URL": self.web_url,
            WEB_PORT_VARIABLE: str(self.web_port),
            "CDP_WEB_KEYS": passwords["web"],
            "OPT_OUT_JOURNAL": str(self.state_dir / "opt-outs.jsonl"),
            "ERASURE_JOURNAL": str(self.state_dir / "erasures.jsonl"),
            "DAGSTER_HOME": str(self.dagster_home),
            "DAGSTER_PG_HOST": HOST,
            "DAGSTER_PG_PORT": str(self.postgres.port),
            "DAGSTER_PG_DB": DAGSTER_DATABASE,
            "DAGSTER_PG_USERNAME": DAGSTER_ROLE,
            "DAGSTER_PG_PASSWORD": passwords[DAGSTER_ROLE],
            WEBSERVER_PORT_VARIABLE: str(self.webserver_port),
            **_PREFERENCES,
            **{variable: name for variable, name in _REFERRING.items() if (self.root / name).exists()},
        }

    def env_points_here(self) -> bool:
        """Tell whether a platform process started in the checkout would reach this sandbox, and nothing else.

        It would read `.env`, and variables that are set in the environment go before those.
        """
        if not self._credentials_file.exists():
            return False
        seen = self._configured()
        return all(seen.get(name) == value for name, value in self.environment().items() if name not in _FREE)

    @property
    def _postgres_address(self) -> str:
        return f"{HOST}:{self.postgres.port}"

    @property
    def _postgres_ports(self) -> dict[int, str]:
        return {self.postgres.port: POSTGRES_PORT_VARIABLE}

    @property
    def _services_ports(self) -> dict[int, str]:
        return {self.services.port: SERVICES_PORT_VARIABLE, self.services.smtp_port: SMTP_PORT_VARIABLE}

    @property
    def services_url(self) -> str:
        """Base URL of the stand-ins; a browser sees there what they hold."""
        return f"http://{HOST}:{self.services.port}"

    @property
    def webserver_port(self) -> int:
        """Port of the Dagster UI.

        Raises:
            SandboxError: The variable that sets it holds no port.
        """
        return self._port(WEBSERVER_PORT_VARIABLE, 2)

    @property
    def web_port(self) -> int:
        """Port of `cdp serve`.

        Raises:
            SandboxError: The variable that sets it holds no port.
        """
        return self._port(WEB_PORT_VARIABLE, 4)

    @property
    def web_url(self) -> str:
        """Base URL of `cdp serve`, to which messages link."""
        return f"http://{HOST}:{self.web_port}"

    def _configured(self) -> dict[str, str]:
        """Return the variables of the environment and, where it has none, of `.env`. An empty one counts as not set."""
        try:
            both = (dotenv_values(self._env_file), os.environ)
            return {name: value for source in both for name, value in source.items() if value}
        except PermissionError as error:
            raise self._foreign(error) from error

    def _foreign(self, error: Exception) -> SandboxError:
        return SandboxError(f"the sandbox in {self.root} belongs to another user ({error}): use it as that user")

    def _port(self, variable: str, offset: int) -> int:
        """Return the port that the variable sets, or else one out of the ten that belong to this checkout's path.

        The ports from 20000 to 29999 lie below those that systems hand out to outgoing connections.
        """
        text = self._configured().get(variable)
        if not text:
            digest = hashlib.sha256(str(self.root).encode()).digest()
            return 20000 + int.from_bytes(digest) % 1000 * 10 + offset
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
            raise SandboxError(f"{variable} is {text!r}: set it to a port, 1 to 65535")
        return int(text)

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """Let one process at a time start or stop the sandbox of a checkout; the others wait."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        except (PermissionError, psutil.AccessDenied) as error:
            raise self._foreign(error) from error
        finally:
            os.close(descriptor)

    def _start_postgres(self) -> None:
        passwords = self._credentials()
        with _naming(self._postgres_ports, "PostgreSQL"):
            self.postgres.start(superuser_password=passwords[SUPERUSER])
        provide(self.postgres.port, passwords)

    def _start_services(self) -> None:
        with _naming(self._services_ports, "the services process"):
            passwords = self._credentials()
            own = {"ARANGO_USER": "root", "ARANGO_PASSWORD": passwords["arango"]}
            own |= {"OUTBOX_SECRET": passwords["outbox"], "CDP_WEB_URL": self.web_url}
            self.services.start(environment=own)

    def _stop(self) -> None:
        with ThreadPoolExecutor() as pool:
            stopped = [pool.submit(self.postgres.stop), pool.submit(self.services.stop)]
        for component in stopped:
            component.result()

    def _credentials(self) -> dict[str, str]:
        try:
            return json.loads(self._credentials_file.read_text())
        except FileNotFoundError as error:
            raise SandboxError("the sandbox was never started here: run 'cdp sandbox start'") from error
        except PermissionError as error:
            raise self._foreign(error) from error

    def _ensure_credentials(self) -> None:
        names = (
            SUPERUSER,
            WAREHOUSE_OWNER,
            PLATFORM_ROLE,
            DAGSTER_ROLE,
            BACKUP_ROLE,
            "arango",
            "outbox",
            "web",
            "payments",
        )
        if self._credentials_file.exists():
            # A folder of an earlier version has fewer of them.
            known = self._credentials()
            if missing := {name: secrets.token_urlsafe(24) for name in names if name not in known}:
                _write_private(self._credentials_file, json.dumps(known | missing))
            return
        if self.postgres.data_dir.exists():
            raise SandboxError(
                f"{self._credentials_file} is missing, and it had the passwords: run 'cdp sandbox reset'"
            )
        # Processes that still run after the state folder was deleted have no data, and not the new passwords.
        self._stop()
        _write_private(self._credentials_file, json.dumps({name: secrets.token_urlsafe(24) for name in names}))

    def _ensure_dagster_home(self) -> None:
        self.dagster_home.mkdir(exist_ok=True)
        own, copy = self.root / "dagster.yaml", self.dagster_home / "dagster.yaml"
        content = own.read_text() if own.exists() else self._templates.get("dagster.yaml")
        if content is not None and not (copy.exists() and copy.read_text() == content):
            copy.write_text(content)

    def _ensure_env_file(self) -> None:
        if self._env_file.exists() and not self._env_file_is_ours():
            if not self._nothing_is_filled_in():
                return
            self._forget_env_file()
        # Chosen ports are kept in .env, so that they need not be set in every shell.
        chosen = {
            name: value
            for name in (POSTGRES_PORT_VARIABLE, SERVICES_PORT_VARIABLE, SMTP_PORT_VARIABLE)
            if (value := self._configured().get(name))
        }
        _write_private(self._env_file, env_file.text({**self.environment(), **chosen}))

    def _forget_env_file(self) -> None:
        """Remove the values of `.env` from the environment, where `cdp` put them: they would override the new ones."""
        for name, value in dotenv_values(self._env_file).items():
            if os.environ.get(name) == value:
                del os.environ[name]

    def _nothing_is_filled_in(self) -> bool:
        """Tell whether `.env` is as `cdp init` wrote it."""
        return self._env_file.read_text() == self._templates.get(".env")

    def _env_file_is_ours(self) -> bool:
        """Tell whether a sandbox wrote `.env` and nobody changed it. The file shows it, also without `.sandbox/`."""
        return self._env_file.exists() and env_file.is_as_written(self._env_file.read_text())


@contextlib.contextmanager
def _naming(variables: Mapping[int, str], component: str) -> Generator[None]:
    """Turn a taken port into an error that names the variable to change: the one that sets this port."""
    try:
        yield
    except PortTakenError as error:
        raise SandboxError(_taken(error.port, variables[error.port], component)) from error


def _taken(port: int, variable: str, component: str) -> str:
    return (
        f"port {port}, where {component} of the sandbox would listen, is taken by another program: "
        f"set {variable} to a free port, in the environment or in .env"
    )


def _status(
    component: ComponentStatus, process: psutil.Process | None, variables: Mapping[int, str]
) -> ComponentStatus:
    """Add a component's process, and what is wrong if it does not run. `variables` set its ports."""
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            since = datetime.fromtimestamp(process.create_time(), UTC)
            problem = "" if component.running else f"process {process.pid} does not answer: run 'cdp sandbox start'"
            return replace(component, pid=process.pid, since=since, problem=problem)
    taken = [] if component.running else [port for port in variables if not port_is_free(port)]
    if taken:
        return replace(component, problem=_taken(taken[0], variables[taken[0]], component.name))
    return component


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, as a whole or not at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.replace(path)
