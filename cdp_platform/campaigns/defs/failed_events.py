"""Which events a run failed for, so that the sensor lets these rest and no others."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from cdp_platform.orchestration import partitions

# A tag of the run: the events that it failed for. Without it, a failed run failed for all its events.
_FAILED = "cdp/failed_events"
# Characters that PostgreSQL's index of tags takes.
_LONGEST_TAG = 2_000
# After a failed run an event waits so long for the next one, and after each further failure twice as long.
_FIRST_REST, _LONGEST_REST = timedelta(minutes=1), timedelta(minutes=30)
# Runs that ended longer ago say nothing about the next one.
_REMEMBERED = timedelta(hours=2)
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def note_failed(instance: dg.DagsterInstance, run_id: str, keys: Collection[str]) -> None:
    """Note the events that a run failed for, unless they are too many to note."""
    noted = " ".join(sorted(keys))
    if keys and len(noted) <= _LONGEST_TAG:
        instance.add_run_tags(run_id, {_FAILED: noted})


def resting(instance: dg.DagsterInstance, job_name: str, known: Sequence[str]) -> set[str]:
    """Events whose last runs failed not long ago: a lasting fault does not cause one run after the other.

    Args:
        instance: where the runs are.
        job_name: of the runs.
        known: all events, in the instance's order.
    """
    now = datetime.now(UTC)
    records = instance.get_run_records(
        dg.RunsFilter(job_name=job_name, statuses=_ENDED, created_after=now - _REMEMBERED), limit=100
    )
    failures: dict[str, int] = defaultdict(int)
    last: dict[str, datetime] = {}
    settled: set[str] = set()
    # The newest are first; what was before a success does not count.
    for record in records:
        run = record.dagster_run
        covered = partitions.covered([run], known)
        failed: set[str] = set()
        if run.status is dg.DagsterRunStatus.FAILURE and record.end_time is not None:
            failed = covered & set(run.tags[_FAILED].split(" ")) if _FAILED in run.tags else covered
            for key in failed - settled:
                failures[key] += 1
                last.setdefault(key, datetime.fromtimestamp(record.end_time, UTC))
        settled |= covered - failed
    return {
        key for key, number in failures.items() if now < last[key] + min(_LONGEST_REST, _FIRST_REST * 2 ** (number - 1))
    }
