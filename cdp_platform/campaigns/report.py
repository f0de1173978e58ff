"""How far each event is, and what became of its messages.

The figures count people, and hold nothing of a person. They come from the audience and from the ledger of deliveries at
one moment, so they add up.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from cdp_platform.campaigns.events import get
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

STATES = ("excluded", "reserved", "handed_over", "confirmed", "failed", "unknown")
OUTCOMES = ("delivered", "bounced", "complained", "opted_out")


@dataclass(frozen=True)
class EventReport:
    """One event.

    Attributes:
        event_id: its id; likewise the columns of ``campaigns.marketing_event`` up to ``ended_at``.
        people: in the audience, excluded ones too; 0 as long as it has none.
        taken_at: when the audience was frozen.
        states: number of people by state of their delivery; all of `STATES`.
        reasons: number of people by state and reason, such as ``excluded: no_consent``.
        outcomes: number of deliveries by what was reported of them; all of `OUTCOMES`.
    """

    event_id: str
    campaign_code: str
    name: str
    type: str
    channel: str
    segment_id: str
    template: str
    start_at: datetime
    end_at: datetime
    local_time: bool
    status: str
    status_reason: str | None
    started_at: datetime | None
    ended_at: datetime | None
    people: int
    taken_at: datetime | None
    segment_version: int | None
    template_version: int | None
    states: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)

    @property
    def adds_up(self) -> bool:
        """Whether everybody of the audience is in one state, at this moment."""
        return sum(self.states.values()) == self.people

    def share(self, outcome: str) -> float | None:
        """Share of the confirmed messages of which this was reported; None if none is confirmed."""
        confirmed = self.states["confirmed"]
        return self.outcomes[outcome] / confirmed if confirmed else None


def of_event(connection: psycopg.Connection, tenant_id: str, event_id: str) -> EventReport:
    """The report of one event.

    Raises:
        QueryError: there is no such event.
    """
    with tenant_transaction(connection, tenant_id):
        # Says what to do where there is none.
        get(connection, tenant_id, event_id)
        (found,) = _read(connection, tenant_id, event_id)
    return found


def of_all(connection: psycopg.Connection, tenant_id: str) -> list[EventReport]:
    """The reports of all events of a tenant, those that begin last first."""
    with tenant_transaction(connection, tenant_id):
        return _read(connection, tenant_id, None)


def unsound(connection: psycopg.Connection, tenant: Tenant, event_id: str) -> str:
    """Why nothing more may be sent of an event; '' where each person of its audience has one state."""
    found = of_event(connection, tenant.tenant_id, event_id)
    if found.adds_up:
        return ""
    return (
        f"event {event_id} has {found.people:,} people in its audience, and {sum(found.states.values()):,} in all "
        "states together. Something else than the platform wrote to the tables: pause the event and find out what."
    )


def _read(connection: psycopg.Connection, tenant_id: str, event_id: str | None) -> list[EventReport]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("campaigns", "report"), {"tenant": tenant_id, "event": event_id}).fetchall()
    return [_report(**row) for row in rows]


def _report(*, by_state: list[tuple[str, str | None, int]], told: dict[str, int], **columns: Any) -> EventReport:
    states: Counter[str] = Counter(dict.fromkeys(STATES, 0))
    reasons: Counter[str] = Counter()
    for state, reason, people in by_state:
        states[state] += people
        if reason:
            reasons[f"{state}: {reason}"] += people
    outcomes = {kind: told.get(kind, 0) for kind in OUTCOMES}
    return EventReport(**columns, states=dict(states), reasons=dict(sorted(reasons.items())), outcomes=outcomes)
