"""Two workers that share only PostgreSQL and Redis: whatever is killed, stopped or emptied, all work is done once."""

import random
import signal
import time
from collections.abc import Iterator

import dagster as dg
import psutil
import pytest

from cdp_platform.ops.run_leases import SILENCE_SECONDS
from cdp_platform_tests.processes.commands_at_work import nobody_writes
from cdp_platform_tests.processes.conftest import wait_for
from cdp_platform_tests.processes.machines import Machines, prepared

pytestmark = pytest.mark.alone

TENANTS = 10
# The sensors' interval, the queue, a lost run with its retry, and a slow machine.
BOUND_SECONDS = 180
FAILURE, QUEUED, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.SUCCESS
HELD = "customers.transactions"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("machines")
    with prepared(folder, tenants_wanted=TENANTS, workers=2, runs_at_once=2) as made:
        for program in (made.daemon, *made.workers):
            program.start()
        made.settled(2 * BOUND_SECONDS, "the first load of all tenants")
        yield made


def test_health_compares_slots_and_limit(platform: Machines):
    found = platform.health()
    assert (found["state"], found["version"]) == ("ok", "2 workers, 2 slots")


def test_a_killed_worker_and_a_flushed_broker(platform: Machines):
    half = TENANTS // 2
    with nobody_writes(platform.checkout, HELD):
        platform.change(platform.tenant_ids[:half])
        lost, lease = platform.begun(BOUND_SECONDS)
        dead = platform.worker_of(lease)
        dead.kill()
        wait_for(lambda: platform.status(lost) == FAILURE, BOUND_SECONDS, "the lost run is ended")
        retry, _ = platform.begun(BOUND_SECONDS, beside=[lost.run_id])
        assert retry.parent_run_id == lost.run_id
        # The only worker that is left is at work, so the next run is launched and not begun.
        platform.change(platform.tenant_ids[half:])
        waiting = wait_for(
            lambda: platform.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING])),
            BOUND_SECONDS,
            "a run is launched beyond the slots",
        )
        assert platform.health()["state"] == "warn"
        with platform.redis.client() as client:
            client.flushall()
    dead.start()
    platform.settled(BOUND_SECONDS, "all changes, after a worker was killed and the broker emptied")
    assert platform.status(retry) == SUCCESS
    assert {platform.status(run) for run in waiting} <= {SUCCESS, FAILURE}
    named = {each["run"]: each["process"] for each in platform.cdp("runs", "--json").json()}
    assert f"process {lease.pid} on" in named[lost.run_id]


def test_a_stopped_worker_that_wakes_after_its_run_was_retried(platform: Machines):
    with nobody_writes(platform.checkout, HELD):
        platform.change(platform.tenant_ids)
        stopped, lease = platform.begun(BOUND_SECONDS)
        worker = platform.worker_of(lease)
        worker.signal(signal.SIGSTOP)
        stopped_at = time.monotonic()
        wait_for(lambda: platform.status(stopped) == FAILURE, BOUND_SECONDS, "the run of the stopped worker is ended")
        assert time.monotonic() - stopped_at > SILENCE_SECONDS - 10
    platform.settled(BOUND_SECONDS, "all changes, by the other worker")
    before = platform.versions()
    assert psutil.pid_exists(lease.pid)
    worker.signal(signal.SIGCONT)
    wait_for(lambda: not psutil.pid_exists(lease.pid), BOUND_SECONDS, "the woken process ends itself")
    assert "was ended by others" in worker.log.read_text()
    assert platform.status(stopped) == FAILURE
    assert platform.versions() == before
    # Its worker is well, and takes runs again.
    wait_for(lambda: platform.health()["version"] == "2 workers, 2 slots", BOUND_SECONDS, "both workers")


def test_a_broker_that_is_away_when_a_run_is_launched(platform: Machines):
    platform.redis.stop()
    platform.change(platform.tenant_ids)

    def put_back() -> list[dg.DagsterRun]:
        runs = platform.instance.get_runs(dg.RunsFilter(statuses=[QUEUED]))
        event = dg.DagsterEventType.PIPELINE_ENQUEUED
        return [
            run for run in runs if len(platform.instance.get_records_for_run(run.run_id, of_type=event).records) > 1
        ]

    (first, *_) = wait_for(put_back, BOUND_SECONDS, "a run is back in the queue")
    platform.redis.start()
    platform.settled(BOUND_SECONDS, "all changes, after the broker came back")
    assert platform.status(first) == SUCCESS


def test_daemon_code_server_and_workers_are_killed_at_random_moments(platform: Machines):
    seed = random.randrange(10_000)  # noqa: S311
    print(f"\nseed {seed}")  # noqa: T201
    chance = random.Random(seed)  # noqa: S311
    killed = [platform.daemon, *platform.workers]
    chance.shuffle(killed)
    for program in killed:
        platform.change(chance.sample(platform.tenant_ids, TENANTS // 2))
        time.sleep(chance.uniform(0, 10))
        program.kill()
        program.start()
    platform.settled(2 * BOUND_SECONDS, "all changes, whatever was killed")
    # A process gives its lease back after the last event of its run.
    wait_for(lambda: not platform.executing(), BOUND_SECONDS, "no lease is left")
