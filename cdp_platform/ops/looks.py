"""What sensors saw when they last looked at the sources of tenants, and which of these sources wait for a run.

Grain of ``ops.source_look``: one row per (tenant, sensor, source). A sensor reads and writes the rows of all tenants at
once, outside any transaction of a tenant. `cdp_platform.orchestration.watch` says how a tick uses them.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb


class Source(NamedTuple):
    """What a sensor looks at for a tenant: an ArangoDB database, an ingestor, or the tracker."""

    tenant_id: str
    source: str


@dataclass(frozen=True)
class Look:
    """One row of ``ops.source_look``.

    Attributes:
        seen: what the next look is compared with, as JSON; None before the first look.
        looked_at: when the tick began that last could read the source; None before the first look.
        failed_looks: how many looks have failed since.
        reported_in: the tick that reported a change to what is seen; None once it is known that Dagster took its
            result.
        waits: whether the source changed and a run has to read it.
        asked_in: the tick that asked for this run.
    """

    tenant_id: str
    source: str
    seen: Any = None
    looked_at: datetime | None = None
    failed_looks: int = 0
    reported_in: str | None = None
    waits: bool = False
    asked_in: str | None = None

    def after(self, taken: str | None) -> "Look":
        """The row once it is known that Dagster took the result of this tick, and of no other."""
        return replace(
            self,
            reported_in=None if self.reported_in == taken else self.reported_in,
            waits=self.waits and (self.asked_in is None or self.asked_in != taken),
            asked_in=None,
        )


def stored(connection: psycopg.Connection, sensor: str) -> dict[Source, Look]:
    """All rows of a sensor."""
    query = (
        "SELECT tenant_id, source, seen, looked_at, failed_looks, reported_in, waits, asked_in"
        " FROM ops.source_looks(%s)"
    )
    with connection.cursor(row_factory=class_row(Look)) as cursor:
        return {Source(row.tenant_id, row.source): row for row in cursor.execute(query, [sensor])}


def store(connection: psycopg.Connection, sensor: str, looks: Iterable[Look], gone: Iterable[Source]) -> None:
    """Store these rows of a sensor, and delete those of sources that are gone."""
    connection.execute(
        "SELECT ops.store_looks(%s, %s, %s)",
        [sensor, Jsonb([asdict(look) for look in looks]), Jsonb([source._asdict() for source in gone])],
    )
