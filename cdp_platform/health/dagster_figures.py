"""Figures of Dagster's runs and daemons, read from its database by SQL.

`cdp serve` does not load Dagster, which takes seconds and 200 MB. Two tables of its storage are read, ``runs`` and
``daemon_heartbeats``; a test makes them with Dagster itself.
"""

from dataclasses import dataclass, field
from typing import Any

import psycopg

from cdp_platform.warehouse.connection import NETWORK_LIMITS
from cdp_platform.warehouse.statements import statement

_LIMITS: dict[str, Any] = {**NETWORK_LIMITS, "connect_timeout": 2, "options": "-c statement_timeout=5s"}


@dataclass(frozen=True)
class DagsterFigures:
    """Figures of one look.

    Attributes:
        runs: number of runs by status, such as ``STARTED``.
        oldest_queued_seconds: how long the oldest run in the queue has waited; None if none waits.
        waits: ``median`` and ``max`` of the seconds from request to start, of runs that started in the last hour.
        heartbeats: seconds since each daemon's last heartbeat.
    """

    runs: dict[str, int]
    oldest_queued_seconds: float | None = None
    waits: dict[str, float] = field(default_factory=dict)
    heartbeats: dict[str, float] = field(default_factory=dict)


def read(conninfo: str) -> DagsterFigures:
    """Read the figures.

    Args:
        conninfo: of Dagster's database; see `dagster_home`.

    Raises:
        psycopg.Error: the database does not answer, or is not one of Dagster.
    """
    with psycopg.connect(conninfo, autocommit=True, **_LIMITS) as connection:
        runs = dict(connection.execute(statement("health", "dagster_runs")).fetchall())
        times = connection.execute(statement("health", "dagster_times")).fetchall()
    by_name: dict[str, dict[str, float]] = {"oldest_queued": {}, "wait": {}, "heartbeat": {}}
    for name, label, value in times:
        by_name[name][label] = value
    return DagsterFigures(runs, by_name["oldest_queued"].get(""), by_name["wait"], by_name["heartbeat"])
