"""Limits the wait for a slot of a pool, and logs who holds it.

Dagster's executor itself waits without a limit, and says so only in the event log.
"""

import _thread
import logging
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from cdp_platform import settings
from cdp_platform.errors import BusyError
from cdp_platform.ops import run_leases
from cdp_platform.orchestration.lost_runs import end_lost
from cdp_platform.warehouse.connection import connect

_log = logging.getLogger(__name__)

SPEAK_AFTER_SECONDS = 5.0
# Longer than an export of the worksheets of a few tenants, which takes minutes.
GIVE_UP_AFTER_SECONDS = 900.0
_LOOK_SECONDS = 2.0


@contextmanager
def waiting_for_pools(instance: dg.DagsterInstance, job: dg.JobDefinition, run_id: str) -> Generator[None]:
    """While the run is executed inside, log which runs hold its slots, and end those whose process is gone.

    Raises:
        BusyError: a slot was not free in `GIVE_UP_AFTER_SECONDS`; names the run that holds it.
    """
    pools = {node.pool for node in job.all_node_defs if isinstance(node, dg.OpDefinition) and node.pool}
    if not pools:
        yield
        return
    watch = _Watch(instance, pools, run_id)
    thread = threading.Thread(target=watch.run, name=f"pools of run {run_id}", daemon=True)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        if watch.gave_up is None:
            raise
        raise BusyError(watch.gave_up) from None
    finally:
        watch.ended.set()
        thread.join(_LOOK_SECONDS)


class _Watch:
    def __init__(self, instance: dg.DagsterInstance, pools: set[str], run_id: str) -> None:
        self.ended = threading.Event()
        self.gave_up: str | None = None
        self._instance = instance
        self._pools = sorted(pools)
        self._run_id = run_id

    def run(self) -> None:
        since: dict[str, float] = {}
        said: set[str] = set()
        while not self.ended.wait(_LOOK_SECONDS):
            try:
                holders = self._holders()
            except Exception as error:
                # If a database is unavailable, the run itself fails with that error.
                _log.debug("pools were not looked at: %s", type(error).__name__)
                continue
            since = {pool: since.get(pool, time.monotonic()) for pool in holders}
            for pool, holder in holders.items():
                waited = time.monotonic() - since[pool]
                if waited >= SPEAK_AFTER_SECONDS and holder not in said:
                    said.add(holder)
                    _log.warning("Waiting for a place in the pool %s, held by %s.", pool, holder)
                if waited >= GIVE_UP_AFTER_SECONDS and not self.ended.is_set():
                    self.gave_up = (
                        f"No place in the pool {pool} after {waited / 60:.0f} minutes; it is held by {holder}. "
                        "Try again when that run has ended, or terminate it in the Dagster UI."
                    )
                    # Same as Ctrl-C: the run ends as canceled, and its own claims are released.
                    _thread.interrupt_main()
                    return

    def _holders(self) -> dict[str, str]:
        """A description of the run that holds each pool that this run waits for."""
        found = {}
        for pool in self._pools:
            info = self._instance.event_log_storage.get_concurrency_info(pool)
            if self._run_id not in info.pending_run_ids:
                continue
            with connect(settings.postgres()) as connection:
                end_lost(self._instance, connection)
                leases = run_leases.find(connection)
            if others := sorted(info.active_run_ids - {self._run_id}):
                found[pool] = self._described(others[0], leases.get(others[0]))
        return found

    def _described(self, run_id: str, lease: run_leases.Lease | None) -> str:
        records = self._instance.get_run_records(dg.RunsFilter(run_ids=[run_id]))
        started = records[0].start_time if records else None
        since = f", since {time.strftime('%H:%M:%S', time.gmtime(started))} UTC" if started else ""
        job = f" of {records[0].dagster_run.job_name}" if records else ""
        return f"run {run_id}{job}{since}" + (f", {lease}" if lease else "")
