"""The state of a deployed platform itself, for watchers outside: a daemon that is dead tells nobody."""

import time
from typing import TYPE_CHECKING

import psycopg

from cdp_platform.cli.runs import dagster_instance
from cdp_platform.errors import PlatformError

if TYPE_CHECKING:
    import dagster as dg

    from cdp_platform.health.findings import Finding

# The sensor ticks every 30 seconds, and a tick may take a minute.
_SENSOR, _LATE_SECONDS = "alerts", 300


def deployed() -> "list[Finding]":
    """Look at both databases, Dagster's daemons, the code server, the queue of runs, and alerts.

    What keeps work from being done is an error; open alerts, of which people were told, are a warning.
    """
    from cdp_platform.health.findings import Finding, examine_own
    from cdp_platform.orchestration.failures import describe

    findings = examine_own()
    daemons, code, queue = Finding("Daemons"), Finding("Code server"), Finding("Queue of runs")
    try:
        with dagster_instance() as instance:
            _daemons(instance, daemons)
            _code_server(instance, code)
            _queue(instance, queue)
    except (PlatformError, psycopg.Error) as error:
        daemons.worsen("error", describe(error))
        return [*findings, daemons]
    return [*findings, daemons, code, queue]


def _daemons(instance: "dg.DagsterInstance", finding: "Finding") -> None:
    from cdp_platform.orchestration import daemons

    if instance.is_ephemeral:
        finding.worsen("error", "DAGSTER_HOME is not set, so nothing is known of them. Set it as the daemon has it.")
    for name, age in daemons.silent(instance).items():
        finding.worsen("error", daemons.described(name, age))


def _code_server(instance: "dg.DagsterInstance", finding: "Finding") -> None:
    """A tick that ended well was evaluated in the code server, which the daemon therefore reached."""
    from dagster._core.scheduler.instigation import TickStatus

    ended_well = [
        tick.timestamp
        for state in instance.all_instigator_state()
        if state.instigator_name == _SENSOR
        for tick in instance.get_ticks(
            state.instigator_origin_id,
            state.selector_id,
            limit=1,
            statuses=[TickStatus.SKIPPED, TickStatus.SUCCESS],
        )
    ]
    age = time.time() - max(ended_well, default=0.0)
    if not ended_well:
        finding.worsen("error", f"The sensor {_SENSOR} has never been evaluated: are daemon and code server running?")
    elif age > _LATE_SECONDS:
        finding.worsen(
            "error",
            f"The sensor {_SENSOR} was last evaluated {age / 60:.0f} minutes ago. Is the code server running, and is "
            "the sensor on? Its ticks in the Dagster UI say why.",
        )


def _queue(instance: "dg.DagsterInstance", finding: "Finding") -> None:
    from cdp_platform.orchestration.lost_runs import look

    for flaw in look(instance).flaws:
        finding.worsen("error", flaw)
