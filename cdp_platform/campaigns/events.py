"""Marketing events: one message to the people of one segment, through one channel.

Grain of ``campaigns.marketing_event``: one row per event. Its status moves by compare-and-set, and the database refuses
any move that ``campaigns.event_may_move`` does not have::

    planned  --->  running  <--->  paused
      |  |          |   |            |
      |  |          |   +--> done    |        everybody is confirmed or excluded
      |  |          +------> partly_failed    --->  running, when a person has failed deliveries tried again
      |  +-> missed |                |        its grace was over
      +------------>+--> cancelled <-+
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import psycopg
from psycopg.rows import class_row

from cdp_platform.errors import QueryError
from cdp_platform.warehouse.statements import statement

Status: TypeAlias = Literal["planned", "running", "paused", "done", "partly_failed", "cancelled", "missed"]


@dataclass(frozen=True)
class Event:
    """One row of ``campaigns.marketing_event``; its columns say what the attributes mean."""

    tenant_id: str
    event_id: str
    campaign_code: str
    name: str
    description: str | None
    type: Literal["message", "confirmation"]
    channel: str
    segment_id: str
    template: str
    start_at: datetime
    end_at: datetime
    grace: timedelta
    local_time: bool
    rate_per_minute: int | None
    holdout_share: float
    status: Status
    status_reason: str | None


def get(connection: psycopg.Connection, tenant_id: str, event_id: str) -> Event:
    """The event of this id, inside a transaction of the tenant.

    Raises:
        QueryError: there is none.
    """
    with connection.cursor(row_factory=class_row(Event)) as cursor:
        found = cursor.execute(statement("campaigns", "event"), {"tenant": tenant_id, "event": event_id}).fetchone()
    if found is None:
        raise QueryError(f"Tenant {tenant_id} has no event {event_id!r}: `cdp campaign list` shows those there are.")
    return found


def move(
    connection: psycopg.Connection,
    tenant_id: str,
    event_id: str,
    after: Status,
    *,
    before: Collection[Status],
    reason: str | None = None,
) -> bool:
    """Move an event, inside a transaction of the tenant.

    Args:
        connection: inside a transaction of the tenant.
        tenant_id: whose event.
        event_id: the event.
        after: status to have.
        before: statuses that it may have now.
        reason: why, in words without data of persons.

    Returns:
        False where it has another status by now; nothing was changed.
    """
    return (
        connection.execute(
            statement("campaigns", "move_event"),
            {"tenant": tenant_id, "event": event_id, "after": after, "before": list(before), "reason": reason},
        ).rowcount
        == 1
    )


def cancel(connection: psycopg.Connection, tenant_id: str, event_id: str, *, reason: str | None = None) -> bool:
    """Cancel an event, and withdraw what waits, inside a transaction of the tenant.

    Deliveries that were handed over before stay as they are.

    Returns:
        False where it has ended already; nothing was changed.
    """
    moved = move(connection, tenant_id, event_id, "cancelled", before=["planned", "running", "paused"], reason=reason)
    if moved:
        connection.execute(statement("campaigns", "withdraw"), {"tenant": tenant_id, "event": event_id})
    return moved
