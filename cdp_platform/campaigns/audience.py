"""The audience of an event: who gets its message and who does not, with the first reason, frozen once.

One statement resolves the segment, decides about everybody, and writes the snapshot, its members and the deliveries, so
it takes the same few seconds for any hundred thousand people. Later nobody is added; who leaves the segment stays, and
who opts out gets nothing, because dispatch asks the same rules again.

The reasons, in the order in which they are looked for: ``closed``, ``no_address``, ``no_consent``, ``suppressed``,
``duplicate``, ``capped``, ``holdout``, ``too_late``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from cdp_platform.campaigns import permission, segments, time_zones
from cdp_platform.campaigns.channels.contract import Channel
from cdp_platform.campaigns.events import Event
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.errors import QueryError
from cdp_platform.ops import addresses, erasure
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class Snapshot:
    """A frozen audience.

    Attributes:
        people: everybody in it, excluded ones too.
        included: those who get a message, unless something changes until then.
        by_reason: number of excluded people by reason.
    """

    people: int
    included: int
    by_reason: Mapping[str, int]


def freeze(
    connection: psycopg.Connection, tenant: Tenant, event: Event, channel: Channel, *, now: datetime | None = None
) -> Snapshot:
    """Freeze the audience of an event, in one transaction; one that is frozen already is returned as it is.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant: whose event.
        event: its segment, its template and its times as they are now.
        channel: the channel of the event.
        now: the moment for which it is decided; the present one.

    Raises:
        QueryError: the segment cannot be resolved, or the template has no approved version.
        ConfigurationError: a setting of the tenant is not usable.
    """
    with tenant_transaction(connection, tenant.tenant_id):
        erasure.while_nobody_is_erased(connection, tenant.tenant_id)
        # Two at once would freeze the same event: the second waits, and finds the audience.
        connection.execute(statement("campaigns", "lock_event"), [tenant.tenant_id, event.event_id])
        return frozen(connection, tenant.tenant_id, event.event_id) or _freeze(
            connection, tenant, event, channel, now or datetime.now(UTC)
        )


def frozen(connection: psycopg.Connection, tenant_id: str, event_id: str) -> Snapshot | None:
    """The audience of an event, inside a transaction of the tenant; None if it is not frozen yet."""
    rows = connection.execute(statement("campaigns", "snapshot"), {"tenant": tenant_id, "event": event_id}).fetchall()
    return _snapshot(rows) if rows else None


def _freeze(
    connection: psycopg.Connection, tenant: Tenant, event: Event, channel: Channel, moment: datetime
) -> Snapshot:
    addresses.salt_of(connection, tenant.tenant_id)
    people = segments.people(connection, tenant.tenant_id, event.segment_id)
    query = statement("campaigns", "freeze").format(people=people.query, decision=decision(channel))
    values = {
        **decision_parameters(connection, tenant, event, channel, moment),
        "segment_version": people.version,
        "segment_hash": people.content_hash,
        "template_version": _approved_version(connection, event),
    }
    plan_for_everybody(connection)
    return _snapshot(connection.execute(query, values).fetchall())


def plan_for_everybody(connection: psycopg.Connection) -> None:
    """Plan queries for a hundred thousand people until the end of the transaction: join by hashes, compile nothing.

    The server guesses that a group of people whose size it cannot know is small, and would compare each person with
    each other one. Compiling the many expressions takes longer than they do.
    """
    connection.execute("SET LOCAL enable_nestloop = off")
    connection.execute("SET LOCAL jit = off")


def decision(channel: Channel, deliveries: sql.Composable = permission.DELIVERIES) -> sql.Composed:
    """Common table expressions that decide about ``people (profile_id)``, which comes before them.

    They end in ``decided (profile_id, address_hash, member, zone, source, due_at, reason)``, one row per person.
    `decision_parameters` has their parameters.
    """
    return statement("campaigns", "decision").format(
        permission=permission.rules(channel, deliveries), time_zones=statement("campaigns", "time_zones")
    )


def decision_parameters(
    connection: psycopg.Connection, tenant: Tenant, event: Event, channel: Channel, moment: datetime
) -> dict[str, Any]:
    """Parameters that decide about the people of an event at a moment; inside a transaction of the tenant."""
    settings = CampaignSettings.of(tenant)
    asks = event.type == "confirmation"
    return {
        **permission.parameters(tenant, channel, event.type, moment),
        **time_zones.parameters(connection, tenant.tenant_id, tenant.time_zone),
        "event": event.event_id,
        "segment": event.segment_id,
        "template": event.template,
        "start_at": event.start_at,
        "end_at": event.end_at,
        "grace": event.grace,
        "local_time": event.local_time,
        "quiet_from": settings.quiet_from,
        "quiet_until": settings.quiet_until,
        # Whoever is asked to confirm asked for it; what others gain by messages is measured without them.
        "holdout_of_all": 0 if asks else settings.holdout_share,
        "holdout_of_event": 0 if asks else event.holdout_share,
    }


def _approved_version(connection: psycopg.Connection, event: Event) -> int:
    row = connection.execute(statement("campaigns", "approved_version"), [event.tenant_id, event.template]).fetchone()
    if row is None or row[0] is None:
        raise QueryError(
            f"Template {event.template!r} of event {event.event_id!r} has no approved version: approve one in the file "
            "of `cdp campaign apply`."
        )
    return row[0]


def _snapshot(rows: list[tuple[Any, ...]]) -> Snapshot:
    by_reason: dict[str | None, int] = dict(rows)
    included = by_reason.pop(None, 0)
    excluded = {str(reason): number for reason, number in by_reason.items()}
    return Snapshot(included + sum(excluded.values()), included, excluded)
