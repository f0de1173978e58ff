"""Which of Dagster's daemons have been silent for long.

A daemon that is at work writes a heartbeat every half minute.
"""

import time

import dagster as dg

SILENT_SECONDS = 300
"""A daemon without a heartbeat for this long does not work."""


def silent(instance: dg.DagsterInstance, now: float | None = None) -> dict[str, float | None]:
    """Seconds since the last heartbeat of each daemon that is silent; None of one that never had any.

    Args:
        instance: says which daemons it needs.
        now: Unix time in seconds.
    """
    now = time.time() if now is None else now
    beats = instance.get_daemon_heartbeats()
    ages = {
        name: now - beats[name].timestamp if name in beats else None for name in instance.get_required_daemon_types()
    }
    return {name: age for name, age in ages.items() if age is None or age > SILENT_SECONDS}


def described(name: str, age: float | None) -> str:
    """What is wrong with a daemon that is silent, and what to do."""
    since = "has never worked" if age is None else f"has been silent for {age / 60:.0f} minutes"
    return f"Dagster's daemon {name} {since}: is `dagster-daemon run` at work, and what does its log say?"
