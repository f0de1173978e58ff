"""A tenant that sends: its people, their consent, its events, and deliveries that are reserved as an audience does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from cdp_platform.campaigns.channels.contract import Outgoing
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction

_PROFILES = """
INSERT INTO customers.cdp_profiles
SELECT r.* FROM jsonb_array_elements(%s) AS given CROSS JOIN LATERAL jsonb_populate_record(NULL::customers.cdp_profiles,
    (SELECT jsonb_object_agg(attname, '[]'::jsonb) FROM pg_attribute
     WHERE attrelid = 'customers.cdp_profiles'::regclass AND atttypid = 'jsonb'::regtype)
    || jsonb_build_object('tenant_id', %s::text, 'status', 'active', 'document_hash', '', 'document', '{}'::jsonb,
        'synced_at', now(), 'updated_at', now()) || given) AS r
"""
_CONSENT = """
INSERT INTO campaigns.consent_management (tenant_id, profile_id, channel, state, source, happened_at)
SELECT %s, id, %s, %s, 'test', now() FROM unnest(%s::text[]) AS id
ON CONFLICT (tenant_id, profile_id, channel) DO UPDATE SET state = excluded.state, happened_at = excluded.happened_at
"""
_MEMBERS = """
INSERT INTO campaigns.segment_snapshot_member (tenant_id, snapshot_id, member, profile_id, decision, time_zone)
SELECT %s, %s, place, id, 'included', %s FROM unnest(%s::text[]) WITH ORDINALITY AS people (id, place)
"""
_DELIVERIES = """
INSERT INTO campaigns.delivery_log
    (tenant_id, event_id, profile_id, channel, address_hash, message_key, due_at, time_zone)
SELECT p.tenant_id, e.event_id, p.profile_id, e.channel, a.address_hash,
    campaigns.message_key(ops.salt_of(p.tenant_id), e.event_id, p.profile_id, e.channel, 1), e.start_at, %(zone)s
FROM customers.cdp_profiles AS p
JOIN campaigns.marketing_event AS e ON e.tenant_id = p.tenant_id AND e.event_id = %(event)s
CROSS JOIN LATERAL (
    SELECT ops.address_hash(
        ops.salt_of(p.tenant_id), CASE %(to)s WHEN 'email' THEN p.primary_email ELSE p.primary_phone END)
) AS a (address_hash)
WHERE p.tenant_id = %(tenant)s AND p.profile_id = ANY (%(ids)s)
"""


@dataclass(frozen=True)
class Sender:
    """One tenant and a connection of the platform's role."""

    connection: psycopg.Connection
    tenant: Tenant

    @property
    def tenant_id(self) -> str:
        return self.tenant.tenant_id

    def rows(self, query: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[tuple]:
        """The rows of a query inside the tenant's transaction."""
        with tenant_transaction(self.connection, self.tenant_id):
            cursor = self.connection.execute(sql.SQL(query), parameters)  # ty: ignore[invalid-argument-type]
            return cursor.fetchall() if cursor.description else []

    def people(self, number: int, *, prefix: str = "p", consent: str | None = "email", **columns: Any) -> list[str]:
        """So many profiles with addresses of their own and consent for a channel; their ids."""
        ids = [f"{prefix}{place:04}" for place in range(number)]
        self.profiles(*({"profile_id": each, "primary_email": f"{each}@example.org", **columns} for each in ids))
        if consent:
            self.consent(ids, channel=consent)
        return ids

    def profiles(self, *profiles: dict[str, Any]) -> None:
        """Profiles with these columns; the others have a default."""
        self.rows(_PROFILES, [Jsonb(list(profiles)), self.tenant_id])

    def consent(self, ids: Iterable[str], state: str = "given", *, channel: str = "email") -> None:
        """Write down what these people said, now."""
        self.rows(_CONSENT, [self.tenant_id, channel, state, list(ids)])

    def event(self, event_id: str = "spring", **columns: Any) -> str:
        """An event that is planned and due since a minute; ``columns`` of marketing_event replace the defaults."""
        now = datetime.now(UTC)
        given = {
            "tenant_id": self.tenant_id,
            "event_id": event_id,
            "campaign_code": "campaign",
            "name": event_id,
            "channel": "email",
            "segment_id": "all",
            "template": "hello",
            "start_at": now - timedelta(minutes=1),
            "end_at": now + timedelta(days=1),
        } | columns
        self.rows(
            "INSERT INTO campaigns.campaign (tenant_id, code, name) VALUES (%s, 'campaign', 'campaign')"
            " ON CONFLICT DO NOTHING",
            [self.tenant_id],
        )
        insert = sql.SQL("INSERT INTO campaigns.marketing_event ({}) VALUES ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, given)), sql.SQL(", ").join(sql.Placeholder() * len(given))
        )
        with tenant_transaction(self.connection, self.tenant_id):
            self.connection.execute(insert, list(given.values()))
        return event_id

    def reserve(self, ids: Sequence[str], event_id: str = "spring", *, to: str = "email", zone: str = "UTC") -> None:
        """An audience in which all these people are included, without looking at any rule."""
        with tenant_transaction(self.connection, self.tenant_id):
            self.connection.execute(
                "INSERT INTO campaigns.segment_snapshot (tenant_id, snapshot_id, event_id, segment_id, people)"
                " VALUES (%s, %s, %s, 'all', %s)",
                [self.tenant_id, event_id, event_id, len(ids)],
            )
            self.connection.execute(_MEMBERS, [self.tenant_id, event_id, zone, list(ids)])
            self.connection.execute(
                _DELIVERIES, {"tenant": self.tenant_id, "event": event_id, "to": to, "zone": zone, "ids": list(ids)}
            )

    def states(self, event_id: str = "spring") -> dict[str, int]:
        """Number of people by state, and by state and reason (``excluded no_consent``) where there is one."""
        rows = self.rows(
            "SELECT concat_ws(' ', state, reason), sum(people)::int FROM campaigns.event_state"
            " WHERE tenant_id = %s AND event_id = %s GROUP BY 1",
            [self.tenant_id, event_id],
        )
        return dict(rows)

    def status(self, event_id: str = "spring") -> str:
        """The status of an event."""
        return self.rows(
            "SELECT status FROM campaigns.marketing_event WHERE tenant_id = %s AND event_id = %s",
            [self.tenant_id, event_id],
        )[0][0]


def compose(batch: Sequence[Any]) -> list[Outgoing | str]:
    """Messages without a word."""
    return [Outgoing(handed.key, handed.address, b"") for handed in batch]
