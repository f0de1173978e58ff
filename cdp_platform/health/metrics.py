"""Metrics in the text format of Prometheus: read from tables when somebody asks, never pushed by a run.

A run that died or waits would push nothing. `FAMILIES` is all there is; docs/operating.md has it as a table.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import psycopg
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cdp_platform.health import dagster_figures, figures
from cdp_platform.ops import tenants
from cdp_platform.warehouse.statements import statement

OTHER = "other"
"""The label of tenants beyond the limit; together they have one value."""

Sample = tuple[str, tuple[str, ...], float]
"""Name of the family, values of its labels, and the value."""


@dataclass(frozen=True)
class Family:
    """One family of gauges.

    Attributes:
        name: with its unit, if it has one.
        labels: their names; ``tenant`` comes first.
        about: what it says, for people.
        together: makes one value of those of tenants beyond the limit.
    """

    name: str
    labels: tuple[str, ...]
    about: str
    together: Callable[[Iterable[float]], float] = sum


FAMILIES = (
    Family("cdp_up", ("database",), "1 if the database answers, 0 if not: warehouse, dagster."),
    Family("cdp_tenants", (), "Active tenants."),
    Family(
        "cdp_source_read_age_seconds",
        ("tenant", "room", "source"),
        "Time since a source was last read to its end, or since the tenant was added.",
        max,
    ),
    Family("cdp_rejected_documents", ("tenant", "room", "source"), "Documents that could not be taken, and wait."),
    Family("cdp_failed_texts", ("tenant", "room", "state"), "Texts without a vector because their calls failed."),
    Family("cdp_queue_size", ("tenant", "room", "queue"), "Texts, deliveries and searches that could be done now."),
    Family(
        "cdp_queue_oldest_age_seconds", ("tenant", "room", "queue"), "How long the first of a queue has waited.", max
    ),
    Family("cdp_spent_today", ("tenant", "room", "unit"), "What is spent or reserved on this day (UTC)."),
    Family(
        "cdp_effects",
        ("tenant", "room", "state"),
        "Effects outside that are not settled well: reserved, handed_over, unknown, failed.",
    ),
    Family("cdp_alerts_open", ("tenant", "kind"), "Open alerts; tenant is empty for those of no single tenant."),
    Family("cdp_alert_messages_waiting", (), "Messages about alerts that no channel has taken yet."),
    Family(
        "cdp_breaker_open", ("gate",), "1 for each outside account that is not called because it failed repeatedly."
    ),
    Family("cdp_dagster_runs", ("status",), "Runs that Dagster keeps."),
    Family(
        "cdp_dagster_oldest_queued_run_age_seconds", (), "How long the first run in the queue has waited; 0 if none."
    ),
    Family(
        "cdp_dagster_run_wait_seconds",
        ("stat",),
        "From the request of a run to its start, of runs started in the last hour: median, max.",
    ),
    Family("cdp_dagster_heartbeat_age_seconds", ("daemon",), "Time since the daemon's last heartbeat."),
    Family("cdp_metrics_read_seconds", (), "How long these metrics took to read."),
)


def render(connection: psycopg.Connection, dagster: str | None, *, most_tenants: int) -> bytes:
    """Read everything once; returns the text format.

    Args:
        connection: of the platform's role, outside any transaction.
        dagster: conninfo of Dagster's database; None if it is not known, and then nothing is said of it.
        most_tenants: largest number of tenants with labels of their own, in the order of their ids.

    Raises:
        psycopg.Error: the warehouse does not answer.
    """
    began = time.perf_counter()
    samples = [*_of_warehouse(connection, most_tenants), *_of_dagster(dagster)]
    samples.append(("cdp_metrics_read_seconds", (), time.perf_counter() - began))
    registry = CollectorRegistry()
    registry.register(_Collector(samples))
    return generate_latest(registry)


class _Collector(Collector):
    """Gives the samples of one look as families, each with its help, whether or not it has samples."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = list(samples)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for family in FAMILIES:
            metric = GaugeMetricFamily(family.name, family.about, labels=family.labels)
            for name, labels, value in self._samples:
                if name == family.name:
                    metric.add_metric(labels, value)
            yield metric


_OF_FIGURE = {
    "read_age": "cdp_source_read_age_seconds",
    "rejected": "cdp_rejected_documents",
    "failed_texts": "cdp_failed_texts",
    "queued": "cdp_queue_size",
    "queue_age": "cdp_queue_oldest_age_seconds",
    "spent": "cdp_spent_today",
    "effects": "cdp_effects",
}


def _of_warehouse(connection: psycopg.Connection, most_tenants: int) -> Iterator[Sample]:
    active = sorted((each for each in tenants.registered(connection) if each.active), key=lambda each: each.tenant_id)
    named = {each.tenant_id for each in active[:most_tenants]}
    yield "cdp_up", ("warehouse",), 1
    yield "cdp_tenants", (), len(active)
    samples: list[Sample] = [
        (_OF_FIGURE[each.name], (each.tenant_id, each.room, each.subject), each.value)
        for each in figures.of_tenants(connection, active)
    ]
    counted = connection.execute(statement("health", "open_alerts_by_kind")).fetchall()
    samples += [("cdp_alerts_open", (tenant, kind), count) for tenant, kind, count in counted]
    yield from _folded(samples, named | {""})
    (waiting,) = connection.execute(statement("health", "count_messages_waiting")).fetchone() or (0,)
    yield "cdp_alert_messages_waiting", (), waiting
    for breaker in figures.open_breakers(connection):
        yield "cdp_breaker_open", (breaker.gate,), 1


def _folded(samples: Iterable[Sample], named: set[str]) -> Iterator[Sample]:
    """The samples, those of tenants without a name of their own put together."""
    others: dict[tuple[str, tuple[str, ...]], list[float]] = {}
    for name, labels, value in samples:
        if labels[0] in named:
            yield name, labels, value
        else:
            others.setdefault((name, (OTHER, *labels[1:])), []).append(value)
    together = {family.name: family.together for family in FAMILIES}
    for (name, labels), values in others.items():
        yield name, labels, together[name](values)


def _of_dagster(conninfo: str | None) -> Iterator[Sample]:
    if conninfo is None:
        return
    try:
        found = dagster_figures.read(conninfo)
    except psycopg.Error:
        yield "cdp_up", ("dagster",), 0
        return
    yield "cdp_up", ("dagster",), 1
    for status, count in found.runs.items():
        yield "cdp_dagster_runs", (status,), count
    yield "cdp_dagster_oldest_queued_run_age_seconds", (), found.oldest_queued_seconds or 0.0
    for stat, seconds in found.waits.items():
        yield "cdp_dagster_run_wait_seconds", (stat,), seconds
    for daemon, age in found.heartbeats.items():
        yield "cdp_dagster_heartbeat_age_seconds", (daemon,), age
