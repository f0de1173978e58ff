"""Deliveries of an event: how far they are, whether too many go wrong, and another attempt for those that failed.

Grain of ``campaigns.delivery_log``: one row per event, person, channel and step. Another step is another attempt that a
person asked for, with a key of its own; the failed row before it is ``superseded``. At every moment::

    people of the audience = excluded + waiting + handed over + confirmed + failed + unknown
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from cdp_platform.campaigns import events, status_codes
from cdp_platform.errors import QueryError
from cdp_platform.ops.effects import State
from cdp_platform.warehouse.statements import statement

LEAST_SENT = 200
"""Least number of messages from which the shares below say enough."""
MOST_BOUNCED = 0.05
"""Share of messages that may bounce hard or fail in the template, before an event pauses itself."""
MOST_COMPLAINED = 0.001
"""Share of messages that may bring a complaint. Gmail asks senders to stay below 0.10 % and never to reach 0.30 %."""


@dataclass(frozen=True)
class Totals:
    """How far an event is, in people of its audience.

    Attributes:
        people: all of the audience, as it was frozen; 0 before that.
        by_state: number of people by state; ``reserved`` are those that wait.
        by_reason: the same by state and reason; the reason is '' where there is none.
    """

    people: int
    by_state: Mapping[State, int]
    by_reason: Mapping[tuple[State, str], int]

    @property
    def included(self) -> int:
        """Those that the event was to reach, when it was frozen or later."""
        return self.people - self.by_state.get("excluded", 0)

    @property
    def adds_up(self) -> bool:
        """Whether each person of the audience has exactly one state."""
        return self.people == sum(self.by_state.values())


def totals(connection: psycopg.Connection, tenant_id: str, event_id: str) -> Totals:
    """How far an event is, inside a transaction of the tenant."""
    rows = connection.execute(statement("campaigns", "totals"), {"tenant": tenant_id, "event": event_id}).fetchall()
    by_state, by_reason = Counter[State](), Counter[tuple[State, str]]()
    for _, state, reason, people in rows:
        if state is not None:
            by_state[state] += people
            by_reason[state, reason or ""] += people
    return Totals(rows[0][0] if rows else 0, by_state, by_reason)


def pause_if_bad(connection: psycopg.Connection, tenant_id: str, event_id: str) -> str | None:
    """Pause an event of which too many messages bounce or bring complaints, inside a transaction of the tenant.

    Returns:
        Why it is paused now; None where it goes on, or did not run.
    """
    row = connection.execute(
        statement("campaigns", "trouble"),
        {
            "tenant": tenant_id,
            "event": event_id,
            "least": LEAST_SENT,
            "most_bounced": MOST_BOUNCED,
            "most_complained": MOST_COMPLAINED,
            "bad_address": list(status_codes.BAD_ADDRESS),
        },
    ).fetchone()
    if row is None:
        return None
    bounced, complained, sent = row
    reason = (
        f"of {sent} messages, {bounced} bounced or failed in the template and {complained} brought a complaint. "
        "Find out why before you resume it"
    )
    paused = events.move(connection, tenant_id, event_id, "paused", before=["running"], reason=reason)
    return reason if paused else None


def retry(connection: psycopg.Connection, tenant_id: str, event_id: str) -> int:
    """Have failed deliveries of an event tried again, inside a transaction of the tenant.

    Each gets another step, with a key of its own. Bad addresses and erased persons stay failed.

    Returns:
        Number of people who wait now.

    Raises:
        QueryError: the event was never sent, or nothing may be sent any more; says what to do.
    """
    values = {"tenant": tenant_id, "event": event_id}
    event = events.get(connection, tenant_id, event_id)
    if event.end_at <= datetime.now(UTC):
        raise QueryError(f"Event {event_id} ended at {event.end_at:%Y-%m-%d %H:%M} UTC: give it a later end first.")
    if event.status not in {"running", "paused", "partly_failed"}:
        raise QueryError(f"Event {event_id} is {event.status}: only one that was sent can be tried again.")
    again = connection.execute(statement("campaigns", "retry"), values).rowcount
    if again:
        connection.execute(statement("campaigns", "supersede"), values)
        if event.status == "partly_failed":
            events.move(connection, tenant_id, event_id, "running", before=["partly_failed"], reason="tried again")
    return again
