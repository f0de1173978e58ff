"""A checkout of its own in a temporary folder, and the platform's programs run in it as a person runs them.

A program gets an environment of PATH and HOME, and whatever a test adds; all else it has to find in the folder.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import httpx2
import psutil
import psycopg
import pytest
from arango import ArangoClient
from dotenv import dotenv_values

import cdp_platform
from cdp_platform_tests import service_logs
from cdp_platform_tests.checkout_folder import new_checkout_folder
from cdp_sandbox.demo.fill import touch
from cdp_sandbox.demo.model import HARBOUR, TENANTS
from cdp_sandbox.demo.spreadsheets import make_spreadsheets
from cdp_sandbox.lifecycle import Sandbox
from cdp_sandbox.processes import HOST, is_alive

SOURCE = Path(cdp_platform.__file__).parents[1]
PROGRAMS = Path(sys.executable).parent
# Part of their command lines.
_CODE_SERVER, _CODE = "code-server start", "api grpc"
_PROGRAMS_OF_UP = ("dagster-webserver", "dagster-daemon", "cdp serve", _CODE_SERVER, _CODE)
ASSETS = ("cdp_profiles", "transactions", "customer_metrics", "customer_value")
TENANT_IDS = tuple(sorted(tenant.id for tenant in TENANTS))
KEYS: dict[LiteralString, LiteralString] = {
    "cdp_profiles": "profile_id",
    "transactions": "line_id",
    "customer_metrics": "profile_id || currency",
    "customer_value": "profile_id || currency",
}

Rows = dict[tuple[str, str], dict[str, str]]
"""(tenant, table) -> key -> the row's version: it changes whenever the row is written, even with the same values."""


@dataclass(frozen=True)
class Finished:
    """A program that ended."""

    code: int
    out: str
    err: str
    seconds: float

    def json(self) -> Any:
        assert self.code in {0, 1}, self.err
        return json.loads(self.out)

    def error(self) -> str:
        """The one line that a failed command says."""
        assert self.code == 1, (self.code, self.out, self.err)
        assert self.out == ""
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line


def figures_of(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The figures of each asset that a command made for one tenant and printed as JSON."""
    return {each["asset"]: each["metadata"] for each in report["outcomes"]}


@dataclass(frozen=True)
class Checkout:
    """A folder with what a checkout has beside the package, its sandbox, and the environment whose programs it uses."""

    root: Path
    home: Path
    programs: Path = PROGRAMS

    @property
    def sandbox(self) -> Sandbox:
        return Sandbox(self.root)

    @property
    def env(self) -> dict[str, str]:
        return {name: value or "" for name, value in dotenv_values(self.root / ".env").items()}

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.env['DAGSTER_WEBSERVER_PORT']}"

    def environment(self, **variables: str) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), **variables}

    def run(self, program: str, *arguments: str, **variables: str) -> Finished:
        started = time.monotonic()
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            cwd=self.root,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr, time.monotonic() - started)

    def cdp(self, *arguments: str, **variables: str) -> Finished:
        return self.run("cdp", *arguments, **variables)

    def query(self, tenant_id: str, query: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
        env = self.env
        with psycopg.connect(
            host=env["PGSQL_DB_HOST"],
            port=env["PGSQL_DB_PORT"],
            dbname=env["PGSQL_DB_NAME"],
            user=env["PGSQL_DB_USER"],
            password=env["PGSQL_DB_PASSWORD"],
        ) as connection:
            connection.execute("SELECT set_config('app.tenant_id', %s, true)", [tenant_id])
            return connection.execute(query, parameters).fetchall()

    def rows(self) -> Rows:
        return {
            (tenant, table): dict(
                self.query(tenant, f"SELECT {key}, xmin::text || ' ' || ctid::text FROM customers.{table}")
            )
            for tenant in TENANT_IDS
            for table, key in KEYS.items()
        }

    def superuser(self, database: str) -> psycopg.Connection:
        password = json.loads((self.root / ".sandbox" / "credentials.json").read_text())["postgres"]
        return psycopg.connect(
            host=HOST,
            port=self.env["PGSQL_DB_PORT"],
            dbname=database,
            user="postgres",
            password=password,
            autocommit=True,
        )

    def dagster_rows(self, query: LiteralString) -> list[tuple[Any, ...]]:
        """Rows of Dagster's own database."""
        with self.superuser(self.env["DAGSTER_PG_DB"]) as connection:
            return connection.execute(query).fetchall()

    def ask(self, query: str, **variables: Any) -> Any:
        """A GraphQL question to the Dagster UI's server."""
        answer = httpx2.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=30)
        body = answer.raise_for_status().json()
        assert "errors" not in body, body["errors"]
        return body["data"]


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.2)
    return answer


@dataclass
class Serving:
    """A `cdp up` that was started."""

    checkout: Checkout
    process: psutil.Popen
    output: Path
    ready_after: float = field(default=0.0)

    def said(self) -> str:
        return self.output.read_text()

    def family(self) -> dict[str, psutil.Process]:
        """The programs it started, by name, and all else below them by number."""
        found = {}
        for process in self.process.children(recursive=True):
            if not is_alive(process):
                continue
            words = " ".join(process.cmdline())
            name = next((n for n in _PROGRAMS_OF_UP if n in words), str(process.pid))
            found[name] = process
        return found

    def ended(self, seconds: float = 60) -> int:
        return self.process.wait(seconds)


@contextmanager
def serve(checkout: Checkout) -> Generator[Serving]:
    """Run `cdp up` until the UI answers; end it with all that is below it, whatever the test did."""
    output = checkout.home / "up.log"
    started = time.monotonic()
    with output.open("wb") as file:
        process = psutil.Popen(
            [str(PROGRAMS / "cdp"), "up"],
            cwd=checkout.root,
            env=checkout.environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    serving = Serving(checkout, process, output)
    try:
        # The last line that it says.
        wait_for(lambda: "Ctrl-C stops" in serving.said() or process.poll() is not None, 240, "cdp up")
        serving.ready_after = time.monotonic() - started
        assert process.poll() is None, serving.said()
        yield serving
    finally:
        family = process.children(recursive=True) if process.poll() is None else []
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)
        for left in family:
            if is_alive(left):
                left.kill()


def new_checkout(folder: Path) -> Checkout:
    root, home = new_checkout_folder(folder), folder / "home"
    home.mkdir()
    service_logs.watch(root / ".sandbox" / "logs")
    service_logs.watch(home)
    for name in ("channels.yaml", "dagster.yaml", "workspace.yaml"):
        shutil.copyfile(SOURCE / name, root / name)
    return Checkout(root, home)


@dataclass(frozen=True)
class Demo:
    """A run of the demo, and the rows after it."""

    done: Finished
    rows: Rows

    @classmethod
    def run(cls, checkout: Checkout) -> "Demo":
        done = checkout.cdp("demo", "--scale", "small")
        assert done.code == 0, done.err + done.out
        return cls(done, checkout.rows())


@pytest.fixture(scope="session")
def bare_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout in which nothing was ever started."""
    made = new_checkout(tmp_path_factory.mktemp("processes"))
    yield made
    # Ends what a failed test may have left of a `cdp up` too.
    made.cdp("down")
    made.sandbox.reset()


@pytest.fixture(scope="session")
def demo(bare_checkout: Checkout) -> Demo:
    return Demo.run(bare_checkout)


@pytest.fixture(scope="session")
def checkout(bare_checkout: Checkout, demo: Demo) -> Checkout:
    """The checkout after the demo: sandbox running, three tenants in the warehouse."""
    return bare_checkout


@pytest.fixture(scope="session")
def served(checkout: Checkout) -> Iterator[Serving]:
    """The checkout while `cdp up` runs in it."""
    with serve(checkout) as serving:
        yield serving


@pytest.fixture(scope="session")
def tiny_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Services, and one tenant with nothing to load: the daemon has nothing else to do."""
    made = new_checkout(tmp_path_factory.mktemp("tiny"))
    try:
        assert made.cdp("sandbox", "start").code == 0
        assert made.cdp("migrate").code == 0
        env = made.env
        client = ArangoClient(hosts=env["ARANGO_HOST"])
        client.db("_system", env["ARANGO_USER"], env["ARANGO_PASSWORD"]).create_database("tiny")
        database = client.db("tiny", env["ARANGO_USER"], env["ARANGO_PASSWORD"])
        database.create_collection("cdp_profile")
        database.create_collection("cdp_profile2conversion", edge=True)
        client.close()
        make_spreadsheets(env["GOOGLE_SHEETS_URL"])
        sheet = next(tenant.spreadsheet for tenant in TENANTS if tenant.spreadsheet)
        added = made.cdp("tenant", "add", "tiny", "--database", "tiny", "--google-sheet-id", sheet)
        assert added.code == 0, added.err
        yield made
    finally:
        made.cdp("down")
        made.sandbox.reset()


@dataclass(frozen=True)
class Launched:
    """What was launched through the UI."""

    run_id: str
    backfill_id: str


@pytest.fixture(scope="session")
def newcomer(served: Serving) -> str:
    """A tenant that somebody adds while the platform is served."""
    added = served.checkout.cdp("tenant", "add", "wharf", "--database", "leo_cdp_harbour")
    assert added.code == 0, added.err
    return "wharf"


@dataclass(frozen=True)
class Purchase:
    """Something that customers of harbour bought."""

    moment: datetime
    keys: list[str]


@pytest.fixture(scope="session")
def purchase(served: Serving) -> Purchase:
    """A change in the source while the platform is served."""
    # What the sensor has not looked at yet it cannot see change.
    wait_for(lambda: ticks_after(served.checkout, "arango_changes", 0), 180, "the sensor's first look")
    env, moment = served.checkout.env, datetime.now(UTC)
    keys = touch(env["ARANGO_HOST"], env["ARANGO_USER"], env["ARANGO_PASSWORD"], tenant=HARBOUR, moment=moment)
    return Purchase(moment, keys)


def asset_keys(*names: str) -> list[dict[str, list[str]]]:
    return [{"path": ["customers", name]} for name in names]


@pytest.fixture(scope="session")
def launched(served: Serving) -> Launched:
    """One run and one backfill, asked for as the UI's buttons do; they run while other tests do."""
    run = served.checkout.ask(
        """mutation ($p: ExecutionParams!) { launchRun(executionParams: $p) {
        __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }""",
        p={
            "selector": {
                "repositoryName": "__repository__",
                "repositoryLocationName": "cdp_platform",
                "pipelineName": "__ASSET_JOB",
                "assetSelection": asset_keys("cdp_profiles"),
                "assetCheckSelection": [],
            },
            "runConfigData": "{}",
            "mode": "default",
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "harbour"}]},
        },
    )["launchRun"]
    backfill = served.checkout.ask(
        """mutation ($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
        __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }""",
        p={"assetSelection": asset_keys(*ASSETS), "partitionNames": ["cdnow", "saigon"]},
    )["launchPartitionBackfill"]
    return Launched(run["run"]["runId"], backfill["backfillId"])


def ticks_after(checkout: Checkout, sensor: str, moment: float) -> list[dict[str, Any]]:
    answer = checkout.ask(
        """query ($s: SensorSelector!, $after: Float) { sensorOrError(sensorSelector: $s) { ... on Sensor {
        sensorState { ticks(afterTimestamp: $after) { timestamp endTimestamp status error { message } } } } } }""",
        s={"repositoryName": "__repository__", "repositoryLocationName": "cdp_platform", "sensorName": sensor},
        after=moment,
    )
    ticks = answer["sensorOrError"]["sensorState"]["ticks"]
    return [tick for tick in ticks if tick["endTimestamp"] and tick["timestamp"] > moment]
