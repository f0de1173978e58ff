"""Events that run: one that is due gets its audience, and then what is due of it is sent, for a while.

An event that was planned becomes running or missed first, then its audience is frozen, then messages go out. Each step
finds what the one before it has left, so a run that dies anywhere is followed by one that goes on. A run ends after ten
minutes at most, and whenever nothing can be sent now: whoever asked for it asks again when something is due.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import psycopg

from cdp_platform.campaigns import audience, dispatch, events, gates, segments, templates
from cdp_platform.campaigns.audience import Snapshot
from cdp_platform.campaigns.channels.entry import ChannelEntry
from cdp_platform.campaigns.compose import Composer
from cdp_platform.campaigns.dispatch import DispatchResult
from cdp_platform.campaigns.events import Event, Status
from cdp_platform.campaigns.links import Links
from cdp_platform.errors import PlatformError, QueryError
from cdp_platform.ops.gate import MINUTE
from cdp_platform.ops.leases import Connect
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

RUN_SECONDS = 600.0
"""After this time a run begins no other batch."""
# Events that share a run take turns of this length.
_TURN_SECONDS = 15.0
# An event that has waited for its begin so long has no run: runs in progress make room for it.
_HELD_UP = timedelta(seconds=10)

ChannelOf: TypeAlias = Callable[[str], ChannelEntry]
"""The channel of a name; raises ConfigurationError where there is none."""


@dataclass(frozen=True)
class Begun:
    """The first step of an event.

    Attributes:
        status: the one that the event has now.
        snapshot: its audience; None where it has none.
        note: why nothing is sent now, or ''.
    """

    status: Status
    snapshot: Snapshot | None = None
    note: str = ""


def begin(
    connection: psycopg.Connection, tenant: Tenant, event_id: str, channel_of: ChannelOf, links: Callable[[], Links]
) -> Begun:
    """Let an event run that is due, and freeze its audience. An event that runs keeps the audience that is there.

    Args:
        connection: outside any transaction.
        tenant: whose event.
        event_id: the event.
        channel_of: finds its channel.
        links: makes those of its messages.

    Raises:
        QueryError: there is no such event, or its segment or template cannot be used yet; it stays planned.
        ConfigurationError: its channel, or the web app that links lead to, is not configured; it stays planned.
    """
    with tenant_transaction(connection, tenant.tenant_id):
        event = events.get(connection, tenant.tenant_id, event_id)
        status = event.status
        if status == "planned":
            begins_at = _begins_at(connection, event)
            if begins_at > datetime.now(UTC):
                return Begun(status, note=f"It begins at {begins_at:%Y-%m-%d %H:%M} UTC.")
            if not dispatch.is_late(event):
                composer(connection, tenant, event, channel_of(event.channel), links())
                segments.people(connection, tenant.tenant_id, event.segment_id)
            status = dispatch.begin(connection, tenant.tenant_id, event_id)
    if status == "missed":
        return Begun(status, note="It was found later than its grace allows, and was not sent.")
    if status != "running":
        return Begun(status, note=f"It is {status}.")
    return Begun(status, audience.freeze(connection, tenant, replace(event, status=status), channel_of(event.channel)))


def start_now(connection: psycopg.Connection, tenant_id: str, event_id: str) -> None:
    """Move the start of a planned event to this moment, wherever its people are.

    Raises:
        QueryError: there is no such event, it is not planned, or its end is over.
    """
    with tenant_transaction(connection, tenant_id):
        event = events.get(connection, tenant_id, event_id)
        moved = connection.execute(
            statement("campaigns", "start_now"), {"tenant": tenant_id, "event": event_id}
        ).rowcount
    if not moved and event.status != "running":
        why = "its end is over: give it a later one" if event.status == "planned" else f"it is {event.status}"
        raise QueryError(f"Event {event_id} cannot start now: {why}. `cdp campaign list` shows all events.")


def send(
    connect: Connect,
    wanted: Sequence[tuple[Tenant, str]],
    channel_of: ChannelOf,
    links: Callable[[], Links],
    *,
    seconds: float = RUN_SECONDS,
) -> Mapping[tuple[str, str], DispatchResult | Exception]:
    """Send what is due of running events, which take turns.

    It ends sooner where an event of somebody else has waited for its begin: the next runs are shared with that.

    Args:
        connect: opens connections as the platform's role.
        wanted: tenants and events.
        channel_of: finds the channel of an event.
        links: makes those of the messages; asked for once something is sent.
        seconds: no turn begins later than this.

    Returns:
        By tenant and event, all its turns together, or the error that ended them.
    """
    ends_at = time.monotonic() + seconds
    done: dict[tuple[str, str], DispatchResult | Exception] = {}
    left = list(wanted)
    with connect() as connection:
        sending = _Sending(connection, connect, channel_of, links)
        while left:
            waits: dict[tuple[str, str], float] = {}
            for tenant, event_id in left:
                key = tenant.tenant_id, event_id
                try:
                    sent = sending.turn(tenant, event_id, min(_TURN_SECONDS, max(0.0, ends_at - time.monotonic())))
                except (PlatformError, psycopg.Error) as error:
                    done[key] = error
                    continue
                done[key] = sent.result if (before := done.get(key)) is None else _together(before, sent.result)
                if (wait := sent.wait_seconds) is not None:
                    waits[key] = wait
            left = [each for each in left if (each[0].tenant_id, each[1]) in waits]
            if time.monotonic() + min(waits.values(), default=0.0) >= ends_at or (left and _others_wait(connection)):
                break
            time.sleep(min(waits.values(), default=0.0))
    return done


@dataclass(frozen=True)
class _Turn:
    """The result of one turn of an event.

    Attributes:
        result: of its dispatch.
        wait_seconds: when it can go on; None where this run cannot wait for that.
    """

    result: DispatchResult
    wait_seconds: float | None = None


@dataclass(frozen=True)
class _Sending:
    """The means that the turns of a run share."""

    connection: psycopg.Connection
    connect: Connect
    channel_of: ChannelOf
    links: Callable[[], Links]

    def turn(self, tenant: Tenant, event_id: str, seconds: float) -> _Turn:
        """Send what is due of one event, for so long."""
        with tenant_transaction(self.connection, tenant.tenant_id):
            event = events.get(self.connection, tenant.tenant_id, event_id)
            frozen = self.connection.execute(
                "SELECT template, template_version FROM campaigns.segment_snapshot"
                " WHERE tenant_id = %s AND event_id = %s",
                [tenant.tenant_id, event_id],
            ).fetchone()
            if event.status != "running" or frozen is None:
                return _Turn(DispatchResult(why_ended="not_running"))
            template = templates.load(self.connection, tenant.tenant_id, *frozen)
        channel = self.channel_of(event.channel)
        compose = Composer(tenant, event, template, channel, self.links())
        result = dispatch.dispatch(
            self.connection, self.connect, tenant, event_id, channel, compose=compose, seconds=seconds
        )
        return _Turn(result, self._wait(channel, result))

    def _wait(self, channel: ChannelEntry, result: DispatchResult) -> float | None:
        """How long the run waits before the event's next turn: for the rate of a minute, and for nothing else."""
        if result.why_ended == "time_over":
            return 0.0
        if result.why_ended != "gate_closed" or result.next_due_at is None:
            return None
        gate = gates.of_channel(self.connection, channel)
        if gate.closed() is not None:
            return None
        seconds = (result.next_due_at - datetime.now(UTC)).total_seconds()
        if seconds > MINUTE:
            # The turns of the day are used up. Whoever asks for runs sees it at the gate.
            gate.rest(seconds, result.reason)
            return None
        return max(0.0, seconds)


def _begins_at(connection: psycopg.Connection, event: Event) -> datetime:
    query = "SELECT campaigns.begins_at(%s, %s)"
    row = connection.execute(query, [event.start_at, event.local_time]).fetchone()
    assert row is not None  # noqa: S101 (the query gives one row)
    return row[0]


def composer(
    connection: psycopg.Connection, tenant: Tenant, event: Event, channel: ChannelEntry, links: Links
) -> Composer:
    """Makes the messages of an event with its template as it is approved now; inside a transaction of the tenant.

    Raises:
        QueryError: the template has no approved version, or does not fit the event.
        ConfigurationError: the tenant has no postal address.
    """
    template = templates.latest(connection, tenant.tenant_id, event.template, approved=True)
    if template is None:
        raise QueryError(
            f"Template {event.template} of event {event.event_id} has no approved version, so nothing is sent. "
            "`approve: true` in the file of `cdp campaign apply` approves it."
        )
    return Composer(tenant, event, template, channel, links)


def _others_wait(connection: psycopg.Connection) -> bool:
    row = connection.execute(statement("campaigns", "others_wait"), {"since": _HELD_UP}).fetchone()
    return row is not None and row[0]


def _together(before: DispatchResult | Exception, after: DispatchResult) -> DispatchResult:
    """The figures of both turns, and how the later one ended."""
    sums = {
        each.name: getattr(before, each.name) + getattr(after, each.name) for each in fields(after) if each.type is int
    }
    return replace(after, **sums)
