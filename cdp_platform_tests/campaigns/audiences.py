"""An event whose audience can be frozen: a segment by membership, and an approved template."""

from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from cdp_platform.campaigns import audience, events
from cdp_platform.campaigns.audience import Snapshot
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.sender import Sender

EMAIL: Any = SimpleNamespace(name="email", to="email", kind="email", per_minute=None, per_day=None)
SMS: Any = SimpleNamespace(name="sms", to="phone", kind="webhook", per_minute=None, per_day=None)
MEMBER = [{"id": "all", "name": "Everybody"}]
_PREPARED = """
INSERT INTO campaigns.segment (tenant_id, segment_id, version, name, kind, origin, content_hash)
VALUES (%(tenant)s, 'all', 1, 'Everybody', 'membership', 'cdp', '') ON CONFLICT DO NOTHING
"""
_TEMPLATE = """
INSERT INTO campaigns.message_template (tenant_id, template, version, channel_kind, state, content_hash, approved_at)
VALUES (%(tenant)s, 'hello', 1, 'email', 'approved', '', now()) ON CONFLICT DO NOTHING
"""


def prepared(sender: Sender) -> None:
    """The segment ``all`` and the template ``hello``, to which events of `Sender.event` refer."""
    for query in (_PREPARED, _TEMPLATE):
        sender.rows(query, {"tenant": sender.tenant_id})


def with_settings(sender: Sender, **own: Any) -> Tenant:
    """The tenant with other settings."""
    return replace(sender.tenant, stored_settings=sender.tenant.stored_settings | own)


def frozen(
    sender: Sender, event_id: str = "spring", *, channel: Any = EMAIL, now: datetime | None = None, **own: Any
) -> Snapshot:
    """Freeze the audience of an event, with these settings of the tenant."""
    prepared(sender)
    with tenant_transaction(sender.connection, sender.tenant_id):
        event = events.get(sender.connection, sender.tenant_id, event_id)
    return audience.freeze(sender.connection, with_settings(sender, **own), event, channel, now=now)


def decisions(sender: Sender, event_id: str = "spring") -> dict[str, str]:
    """Reason of everybody in an audience, or ``included``."""
    return dict(
        sender.rows(
            "SELECT profile_id, coalesce(reason, decision) FROM campaigns.segment_snapshot_member"
            " WHERE tenant_id = %s AND snapshot_id = %s",
            [sender.tenant_id, event_id],
        )
    )
