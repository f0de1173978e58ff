"""Commands that are killed, or at work, hold up no other command, also where no daemon runs."""

import signal
import subprocess
import time
from collections.abc import Iterator

import dagster as dg
import psutil
import pytest

from cdp_platform.orchestration.lost_runs import LONGEST_STANDSTILL_SECONDS, look
from cdp_platform_tests.processes.commands_at_work import begin, in_progress, kill, launch, nobody_writes, status
from cdp_platform_tests.processes.conftest import PROGRAMS, Checkout, wait_for


@pytest.fixture
def checkout(tiny_checkout: Checkout) -> Checkout:
    return tiny_checkout


def test_a_queue_that_does_not_move_is_named(checkout: Checkout, monkeypatch: pytest.MonkeyPatch):
    """Without a daemon it never does."""
    launch(checkout)
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
            lambda: checkout.dagster_rows("SELECT run_id FROM concurrency_slots WHERE run_id IS NOT NULL"),
            120,
            "the run holds a place in the pool",
        )
        kill(doomed)
    done = checkout.cdp("export-data", "--tenant", "tiny")
    assert done.code == 0, done.out + done.err
    assert "that process is gone" in done.err
    assert status(checkout, held[0]) == "FAILURE"
    assert checkout.dagster_rows("SELECT 1 FROM concurrency_slots WHERE run_id IS NOT NULL") == []


def test_a_command_that_waits_for_a_place_in_a_pool_says_who_holds_it(checkout: Checkout):
    with nobody_writes(checkout, "referrals.sheet_export"):
        (first,) = begin(checkout, "export-data", "--tenant", "tiny")
        wait_for(
            lambda: checkout.dagster_rows("SELECT run_id FROM concurrency_slots WHERE run_id IS NOT NULL"),
            120,
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
        said = wait_for(
            lambda: "Waiting for a place in the pool google_sheets" in output.read_text(), 120, "it says so"
        )
        assert said
        assert f"cdp export-data (process {first.pid} on " in output.read_text()
    assert first.wait(180) == 0
    assert second.wait(180) == 0, output.read_text()


def test_the_tags_of_a_commands_run_say_which_process_executes_it(checkout: Checkout):
    with nobody_writes(checkout, "ops.sync_watermark"):
        (command,) = begin(checkout, "sync", "--tenant", "tiny")
        tags = dict(
            checkout.dagster_rows(
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
        assert command.wait(120) in {1, 130}
        assert status(checkout, run) in {"CANCELED", "FAILURE"}
