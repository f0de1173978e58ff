"""The number of runs that sensors and schedules may ask for: ten, for any number of tenants and rooms."""

import dagster as dg

from cdp_platform.orchestration.partitions import UNFINISHED

# Unfinished runs of all sensors together; also the most that one schedule asks for.
MAX_RUNS = 10
# Of these, the runs of one sensor. The others are left to the other sensors, so that no room waits for another one.
MAX_RUNS_PER_SENSOR = 3

# Dagster gives this tag to each run that a sensor asked for, and has no public name for it.
_SENSOR = "dagster/sensor_name"


def left_for(instance: dg.DagsterInstance, sensor_name: str) -> int:
    """How many runs this sensor may ask for now. What is due beyond that waits for a later tick, and then shares a run.

    Args:
        instance: where the runs are.
        sensor_name: of the sensor that asks.
    """
    unfinished = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    sensors = [run.tags[_SENSOR] for run in unfinished if _SENSOR in run.tags]
    return max(0, min(MAX_RUNS - len(sensors), MAX_RUNS_PER_SENSOR - sensors.count(sensor_name)))
