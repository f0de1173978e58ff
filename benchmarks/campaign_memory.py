"""How much memory an event takes, by the number of its people: the audience is resolved and all messages are sent.

Each size is a process of its own, whose greatest use of memory is measured. The channel takes everything and keeps
nothing.
"""

import resource
import subprocess
import sys
import time
from os import environ
from typing import Any

from benchmarks.campaign_audience import fill
from benchmarks.campaign_event import ANYTIME, TENANT, AtOnce, compose
from benchmarks.database import benchmark_database
from benchmarks.reporting import Bar, narrate
from cdp_platform import settings
from cdp_platform.campaigns import audience, dispatch, events
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction

SMALL, LARGE = 20_000, 100_000
_AT_MOST = 1.1
_EVENT = "event"


def measure() -> tuple[list[dict[str, Any]], list[Bar]]:
    """Both sizes; the rows of a table, and the bar."""
    rows: list[dict[str, Any]] = []
    for people in (SMALL, LARGE):
        narrate(f"memory for {people:,} people")
        with benchmark_database({TENANT: "none"}) as database:
            fill(database, people, [_EVENT])
            with connect(database.settings) as connection:
                tenants.add(connection, TENANT, settings=[ANYTIME])
            began = time.perf_counter()
            ran = subprocess.run(
                [sys.executable, "-m", "benchmarks.campaign_memory"],
                env={**environ, **database.environment()},
                check=True,
                capture_output=True,
                text=True,
            )
            sent, kilobytes = map(int, ran.stdout.split())
            rows.append(
                {
                    "memory": f"an event of {people:,} people",
                    "messages": sent,
                    "seconds": round(time.perf_counter() - began, 1),
                    "peak MB": round(kilobytes / 1024, 1),
                }
            )
    small, large = (row["peak MB"] for row in rows)
    return rows, [Bar("peak memory of 100k people, to 20k", large / small, _AT_MOST, at_least=False)]


def _send() -> None:
    """Resolve the audience and send all; prints the messages and the peak in kilobytes."""
    configured = settings.postgres()
    with connect(configured) as connection:
        tenant = tenants.get(connection, TENANT)
        with tenant_transaction(connection, TENANT):
            event = events.get(connection, TENANT, _EVENT)
            events.move(connection, TENANT, _EVENT, "running", before=["planned"])
        audience.freeze(connection, tenant, event, AtOnce())
        result = dispatch.dispatch(
            connection, lambda: connect(configured), tenant, _EVENT, AtOnce(), compose=compose, seconds=3600
        )
    print(result.sent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    _send()
