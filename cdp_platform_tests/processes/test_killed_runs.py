"""Commands that are killed hold up nobody: neither the next command nor the daemon."""

import os
import signal
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import dagster as dg
import psutil
import psycopg
import pytest
from arango import ArangoClient

from cdp_platform.orchestration.lost_runs import LONGEST_STANDSTILL_SECONDS, look
from cdp_platform_tests.processes.conftest import PROGRAMS, Checkout, wait_for

pytestmark = pytest.mark.alone

BOUND_SECONDS = 60


@pytest.fixture
def checkout(tiny_checkout: Checkout) -> Checkout:
    return tiny_checkout


def dagster_rows(checkout: Checkout, query: str) -> list[tuple]:
    env = checkout.env
    with psycopg.connect(
        host=env["DAGSTER_PG_HOST"],
        port=env["DAGSTER_PG_PORT"],
        dbname=env["DAGSTER_PG_DB"],
        user=env["DAGSTER_PG_USERNAME"],
        password=env["DAGSTER_PG_PASSWORD"],
    ) as connection:
        return connection.execute(query).fetchall()


def in_progress(checkout: Checkout) -> set[str]:
    """Runs of commands; the daemon has its own."""
    query = "SELECT run_id FROM runs JOIN run_tags USING (run_id) WHERE status = 'STARTED' AND key = 'cdp/command'"
    return {run for (run,) in dagster_rows(checkout, query)}


@contextmanager
def nobody_writes(checkout: Checkout, table: str) -> Generator[psycopg.Connection]:
    """Every run that comes to this table waits there."""
    with checkout.superuser(checkout.env["PGSQL_DB_NAME"]) as connection, connection.transaction():
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield connection


def begin(checkout: Checkout, *arguments: str, count: int = 1) -> list[subprocess.Popen[bytes]]:
    """Start a command so many times, and wait until the run of each is in progress."""
    before = in_progress(checkout)
    said = checkout.home / "commands.txt"
    with said.open("wb") as output:
        processes = [
            subprocess.Popen(
                [str(PROGRAMS / "cdp"), *arguments],
                cwd=checkout.root,
                env=checkout.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            for _ in range(count)
        ]
    wait_for(
        lambda: len(in_progress(checkout) - before) == count or any(each.poll() is not None for each in processes),
        300,
        "the runs of the commands",
    )
    assert all(process.poll() is None for process in processes), said.read_text()
    return processes


def kill(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()


@pytest.fixture
def daemon(checkout: Checkout) -> Iterator[None]:
    """The Dagster daemon, and nothing that it has to do."""
    log = checkout.home / "daemon.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(PROGRAMS / "dagster-daemon"), "run", "-w", "workspace.yaml"],
            cwd=checkout.root,
            env=checkout.environment(**checkout.env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        # What it does first is to load the tenant.
        wait_for(
            lambda: from_the_queue(checkout, "STARTED", "SUCCESS") or process.poll() is not None,
            300,
            "the daemon works",
        )
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):
            # Its code server and their children are in the session that began with it.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def from_the_queue(checkout: Checkout, *statuses: str) -> set[str]:
    """Runs of these statuses that the daemon launched."""
    query = "SELECT run_id, status FROM runs JOIN run_tags USING (run_id) WHERE key = 'cdp/queued'"
    return {run for run, status in dagster_rows(checkout, query) if status in statuses}


def change(checkout: Checkout) -> None:
    """Something for the daemon to do: its sensor sees a new profile and asks for a run."""
    env = checkout.env
    client = ArangoClient(hosts=env["ARANGO_HOST"])
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    profiles = client.db("tiny", env["ARANGO_USER"], env["ARANGO_PASSWORD"]).collection("cdp_profile")
    profiles.insert({"status": 1, "createdAt": now, "updatedAt": now})
    client.close()


def status(checkout: Checkout, run: str) -> str:
    return dagster_rows(checkout, f"SELECT status FROM runs WHERE run_id = '{run}'")[0][0]


@pytest.mark.usefixtures("daemon")
def test_killed_commands_keep_the_daemon_from_nothing(checkout: Checkout):
    """Four is the most that the queue launches at once, and thirteen is more than Dagster's own ten."""
    with nobody_writes(checkout, "ops.sync_watermark"):
        commands = [each for count in (4, 4, 5) for each in begin(checkout, "sync", "--tenant", "tiny", count=count)]
        lost = in_progress(checkout)
        assert len(lost) == 13
        killed_at = time.monotonic()
        kill(commands)
        wait_for(lambda: not in_progress(checkout), BOUND_SECONDS, "the lost runs are ended")
        print(f"13 killed runs were ended after {time.monotonic() - killed_at:.1f} s")  # noqa: T201
    assert {status(checkout, each) for each in lost} == {"FAILURE"}
    before = from_the_queue(checkout, "STARTED", "SUCCESS")
    change(checkout)
    wait_for(lambda: from_the_queue(checkout, "STARTED", "SUCCESS") - before, BOUND_SECONDS, "a queued run starts")


@pytest.mark.usefixtures("daemon")
def test_commands_at_work_do_not_count_for_the_daemon(checkout: Checkout):
    with nobody_writes(checkout, "ops.sync_watermark"):
        commands = begin(checkout, "sync", "--tenant", "tiny", count=5)
        before = from_the_queue(checkout, "STARTED", "SUCCESS")
        change(checkout)
        wait_for(lambda: from_the_queue(checkout, "STARTED", "SUCCESS") - before, BOUND_SECONDS, "a queued run starts")
        assert len(in_progress(checkout)) == 5
    assert [command.wait(120) for command in commands] == [0] * 5


def test_a_queue_that_does_not_move_is_named(checkout: Checkout, monkeypatch: pytest.MonkeyPatch):
    """Without a daemon it never does."""
    launched = checkout.run(
        *("dagster", "job", "launch", "-w", "workspace.yaml", "-j", "customers_staleness"), **checkout.env
    )
    assert launched.code == 0, launched.err
    for name, value in checkout.env.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(checkout.env["DAGSTER_HOME"]) as instance:
        now, later = look(instance), look(instance, time.time() + LONGEST_STANDSTILL_SECONDS + 60)
    assert now.queued >= 1
    assert now.flaws == []
    (flaw,) = later.flaws
    assert f"{now.queued} runs wait in the queue, the first (" in flaw
    assert "Is the Dagster daemon running" in flaw


def test_a_killed_export_frees_its_place_in_the_pool_for_the_next_command(checkout: Checkout):
    """Without a daemon, and without another word from a person."""
    with nobody_writes(checkout, "referrals.sheet_export"):
        doomed = begin(checkout, "export-data", "--tenant", "tiny")
        (held,) = wait_for(
            lambda: dagster_rows(checkout, "SELECT run_id FROM concurrency_slots WHERE run_id IS NOT NULL"),
            60,
            "the run holds a place in the pool",
        )
        kill(doomed)
    done = checkout.cdp("export-data", "--tenant", "tiny")
    assert done.code == 0, done.out + done.err
    assert "that process is gone" in done.err
    assert dagster_rows(checkout, f"SELECT status FROM runs WHERE run_id = '{held[0]}'") == [("FAILURE",)]
    assert dagster_rows(checkout, "SELECT 1 FROM concurrency_slots WHERE run_id IS NOT NULL") == []


def test_a_command_that_waits_for_a_place_in_a_pool_says_who_holds_it(checkout: Checkout):
    with nobody_writes(checkout, "referrals.sheet_export"):
        (first,) = begin(checkout, "export-data", "--tenant", "tiny")
        wait_for(
            lambda: dagster_rows(checkout, "SELECT run_id FROM concurrency_slots WHERE run_id IS NOT NULL"),
            60,
            "the run holds a place in the pool",
        )
        output = checkout.home / "waiting.txt"
        with output.open("wb") as file:
            second = psutil.Popen(
                [str(PROGRAMS / "cdp"), "export-data", "--tenant", "tiny"],
                cwd=checkout.root,
                env=checkout.environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        said = wait_for(lambda: "Waiting for a place in the pool google_sheets" in output.read_text(), 60, "it says so")
        assert said
        assert f"cdp export-data (process {first.pid} on " in output.read_text()
    assert first.wait(90) == 0
    assert second.wait(90) == 0, output.read_text()


def test_the_tags_of_a_commands_run_say_which_process_executes_it(checkout: Checkout):
    with nobody_writes(checkout, "ops.sync_watermark"):
        (command,) = begin(checkout, "sync", "--tenant", "tiny")
        tags = dict(
            dagster_rows(
                checkout,
                "SELECT key, value FROM run_tags JOIN runs USING (run_id)"
                " WHERE status = 'STARTED' AND key LIKE 'cdp/%'",
            )
        )
        kill([command])
    assert tags["cdp/pid"] == str(command.pid)
    assert tags["cdp/command"] == "cdp sync"
    assert tags["cdp/host"]
    assert tags["cdp/process_started_at"]
    # The next command ends what is left of it.
    assert checkout.cdp("tenant", "add", "tiny").code == 0
    assert in_progress(checkout) == set()


@pytest.fixture
def heard_by_children(number: signal.Signals) -> Iterator[None]:
    """Commands inherit what this process ignores, such as SIGHUP under nohup, and then ignore it on purpose."""
    before = signal.signal(number, signal.SIG_DFL)
    yield
    signal.signal(number, before)


@pytest.mark.usefixtures("heard_by_children")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_asked_to_end_ends_its_run_itself(checkout: Checkout, number: signal.Signals):
    """As when a terminal is closed, or a pod is stopped."""
    with nobody_writes(checkout, "ops.sync_watermark"):
        (command,) = begin(checkout, "sync", "--tenant", "tiny")
        (run,) = in_progress(checkout)
        command.send_signal(number)
        # As a failed run, or as interrupted, by where it was.
        assert command.wait(60) in {1, 130}
        assert status(checkout, run) in {"CANCELED", "FAILURE"}
