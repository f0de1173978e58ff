"""Commands that are killed, or at work, keep the daemon from nothing."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from arango import ArangoClient

from cdp_platform_tests.processes.commands_at_work import begin, in_progress, kill, launch, nobody_writes, status
from cdp_platform_tests.processes.conftest import PROGRAMS, Checkout, wait_for

pytestmark = pytest.mark.alone

BOUND_SECONDS = 60


@pytest.fixture
def checkout(tiny_checkout: Checkout) -> Checkout:
    return tiny_checkout


@pytest.fixture(scope="module", autouse=True)
def _daemon(tiny_checkout: Checkout) -> Iterator[None]:
    """The Dagster daemon, and nothing that it has to do."""
    checkout = tiny_checkout
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
    return {run for run, status in checkout.dagster_rows(query) if status in statuses}


def change(checkout: Checkout) -> None:
    """Something for the daemon to do: its sensor sees a new profile and asks for a run."""
    env = checkout.env
    client = ArangoClient(hosts=env["ARANGO_HOST"])
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    profiles = client.db("tiny", env["ARANGO_USER"], env["ARANGO_PASSWORD"]).collection("cdp_profile")
    profiles.insert({"status": 1, "createdAt": now, "updatedAt": now})
    client.close()


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


def test_commands_at_work_do_not_count_for_the_daemon(checkout: Checkout):
    with nobody_writes(checkout, "ops.sync_watermark"):
        commands = begin(checkout, "sync", "--tenant", "tiny", count=5)
        before = from_the_queue(checkout, "STARTED", "SUCCESS")
        # Not a change: its run would wait until the tenant's other runs have ended.
        launch(checkout)
        wait_for(lambda: from_the_queue(checkout, "STARTED", "SUCCESS") - before, BOUND_SECONDS, "a queued run starts")
        assert len(in_progress(checkout)) == 5
    assert [command.wait(120) for command in commands] == [0] * 5
