"""A forecast: what the events of the coming days will do, if nothing else happens until then.

The events are gone through in the order in which they begin. About everybody of each the same statement decides that
freezes audiences, with the messages of the events before it counted for the caps. Then its messages stand in the queue
of their channel, behind those before them, as fast as the rates of event and channel allow, and not in quiet hours. All
is kept in a temporary table, and nothing is written that stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from cdp_platform.campaigns import audience, events, segments
from cdp_platform.campaigns.channels.contract import Channel
from cdp_platform.campaigns.events import Event
from cdp_platform.errors import PlatformError, QueryError
from cdp_platform.ops import addresses
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

_NO_LIMIT = 2**31
_ANY_TIME = timedelta(days=36_500)


@dataclass(frozen=True)
class Planned:
    """The forecast of one event.

    Attributes:
        event: as it is now; the audience of one that runs or is paused is those who still wait.
        begins_at: when it begins; now for one that runs, is due or is paused.
        people: everybody in its audience.
        sent: how many messages will go.
        by_reason: number of people who get none, by reason.
        capped_by: for each earlier event of the forecast, how many of those who are capped it has sent a message.
        first_at: when the first message can go; None without any.
        last_at: when the last message can go.
        problem: why nothing can be said of it; empty otherwise.
    """

    event: Event
    begins_at: datetime
    people: int = 0
    sent: int = 0
    by_reason: Mapping[str, int] | None = None
    capped_by: Mapping[str, int] | None = None
    first_at: datetime | None = None
    last_at: datetime | None = None
    problem: str = ""

    @property
    def in_time(self) -> bool:
        """Whether everybody who may have the message gets it before the event ends."""
        return not self.problem and not (self.by_reason or {}).get("too_late")


def plan(
    connection: psycopg.Connection,
    tenant: Tenant,
    channels: Mapping[str, Channel],
    *,
    now: datetime | None = None,
    days: int = 7,
) -> list[Planned]:
    """The events that are planned, run or are paused, and begin within some days, in the order in which they begin.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant: whose events.
        channels: by name and alias.
        now: where the forecast begins; the present moment.
        days: how far it goes.

    Raises:
        ConfigurationError: a setting of the tenant is not usable.
    """
    moment = now or datetime.now(UTC)
    with tenant_transaction(connection, tenant.tenant_id):
        addresses.salt_of(connection, tenant.tenant_id)
        connection.execute(statement("campaigns", "begin_forecast"))
        values = {"tenant": tenant.tenant_id, "now": moment, "days": days}
        coming = connection.execute(statement("campaigns", "forecast_events"), values).fetchall()
        audience.plan_for_everybody(connection)
        planned = []
        for turn, (event_id, begins_at, is_frozen) in enumerate(coming):
            event = events.get(connection, tenant.tenant_id, event_id)
            try:
                # No decision from before an error is kept.
                with connection.transaction():
                    planned.append(
                        _simulated(
                            connection, tenant, event, channels, turn=turn, begins_at=begins_at, is_frozen=is_frozen
                        )
                    )
            except PlatformError as error:
                planned.append(Planned(event, begins_at, problem=str(error)))
        return planned


def _simulated(
    connection: psycopg.Connection,
    tenant: Tenant,
    event: Event,
    channels: Mapping[str, Channel],
    *,
    turn: int,
    begins_at: datetime,
    is_frozen: bool,
) -> Planned:
    channel = channels.get(event.channel)
    if channel is None:
        raise QueryError(f"There is no channel {event.channel!r} in channels.yaml.")
    if is_frozen:
        people = statement("campaigns", "forecast_waiting").format(
            tenant=sql.Literal(tenant.tenant_id), event=sql.Literal(event.event_id)
        )
    else:
        people = segments.people(connection, tenant.tenant_id, event.segment_id).query
    values: dict[str, Any] = {
        **audience.decision_parameters(connection, tenant, event, channel, begins_at),
        "turn": turn,
        "event_step": _step(event.rate_per_minute),
        "channel_step": _step(channel.per_minute),
        "per_day": channel.per_day or _NO_LIMIT,
    }
    if is_frozen:
        # People whose hour had passed when it began are not in it any more.
        values["grace"] = _ANY_TIME
    decision = audience.decision(channel, statement("campaigns", "forecast_deliveries"))
    connection.execute(statement("campaigns", "forecast_event").format(people=people, decision=decision), values)
    # Each time that messages are put off they come to a later night, until they are late.
    nights = (event.end_at - begins_at).days + 2
    while _queue(connection, values) and nights > 0:
        nights -= 1
    connection.execute(statement("campaigns", "forecast_too_late"), values)
    found = connection.execute(statement("campaigns", "forecast_outcome"), values).fetchall()
    by_reason = {reason: number for reason, number, _, _ in found if reason is not None}
    sent, first_at, last_at = next(
        ((n, first, last) for reason, n, first, last in found if reason is None), (0, None, None)
    )
    capped_by = dict(connection.execute(statement("campaigns", "forecast_capped_by"), values).fetchall())
    people_there = sent + sum(by_reason.values())
    return Planned(event, begins_at, people_there, sent, by_reason, capped_by, first_at, last_at)


def _queue(connection: psycopg.Connection, values: Mapping[str, Any]) -> bool:
    """Let the messages of an event queue; returns whether some were put off by quiet hours."""
    row = connection.execute(statement("campaigns", "forecast_sending"), values).fetchone()
    return bool(row and row[0])


def _step(per_minute: int | None) -> timedelta:
    return timedelta(minutes=1) / per_minute if per_minute else timedelta()
