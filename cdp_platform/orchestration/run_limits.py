"""The number of runs that sensors and schedules may request: ten, for any number of tenants and rooms."""

import time

import dagster as dg

from cdp_platform.orchestration.partitions import UNFINISHED

# Largest number of unfinished runs of all sensors together, and of runs that one schedule requests.
MAX_RUNS = 10
# Largest number of unfinished runs of one sensor, so that the other sensors always have some left.
MAX_RUNS_PER_SENSOR = 3

# After a failed run the next one waits, so that a lasting fault does not cause one run after the other.
REST_AFTER_FAILURE_SECONDS = 60

# Dagster gives this tag to each run that a sensor requested, and has no public name for it.
_SENSOR = "dagster/sensor_name"


def left_for(instance: dg.DagsterInstance, sensor_name: str) -> int:
    """How many runs this sensor may request now. Work beyond that waits for a later tick, and then shares a run.

    Args:
        instance: where the runs are.
        sensor_name: of the sensor that requests them.
    """
    unfinished = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    sensors = [run.tags[_SENSOR] for run in unfinished if _SENSOR in run.tags]
    return max(0, min(MAX_RUNS - len(sensors), MAX_RUNS_PER_SENSOR - sensors.count(sensor_name)))


def has_just_failed(instance: dg.DagsterInstance, job_name: str) -> bool:
    """Whether the job's last run failed, and so short a time ago that the next one waits."""
    for record in instance.get_run_records(dg.RunsFilter(job_name=job_name), limit=1):
        if record.dagster_run.status == dg.DagsterRunStatus.FAILURE and record.end_time is not None:
            return time.time() - record.end_time < REST_AFTER_FAILURE_SECONDS
    return False
