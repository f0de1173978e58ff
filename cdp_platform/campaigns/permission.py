"""The rules that say who may have a message through a channel now, for the audience, dispatch and the forecast.

The rules are common table expressions that other statements begin with::

    WITH people AS MATERIALIZED (SELECT profile_id FROM ...), {permission}
    SELECT profile_id, address, address_hash, reason, is_capped, updated_at FROM permission

``permission`` has one row per row of ``people``. ``reason`` is the first of ``closed``, ``no_address``, ``no_consent``
and ``suppressed`` that applies, or NULL; ``is_capped`` says whether the person has had what the caps allow. A statement
sees what was committed before it began, so whoever counts caps locks the recipients first, in a statement of its own.

Consent is opt-in. The CDP's refusal refuses; its consent counts where the tenant's settings trust it. A refusal wins
over any consent, also one of another profile that has the same address. A profile that was merged into another one is
the same person.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg import sql

from cdp_platform.campaigns.channels.contract import Channel
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.statements import statement

_ADDRESSES = {"email": "primary_email", "phone": "primary_phone"}


def cdp_column(channel: Channel) -> str | None:
    """The column of ``customers.cdp_profiles`` with the CDP's consent for a channel; None where the CDP has none.

    The CDP has one consent for e-mail and one for SMS. A channel to phones is SMS where ``sms`` is a word of its name.
    """
    if channel.to == "email":
        return "receive_email"
    return "receive_sms" if "sms" in re.split(r"[^a-z0-9]+", channel.name.lower()) else None


def address_column(channel: Channel) -> str:
    """The column of ``customers.cdp_profiles`` with the address that a channel reaches."""
    return _ADDRESSES[channel.to]


DELIVERIES = sql.SQL("campaigns.delivery_log")


def rules(channel: Channel, deliveries: sql.Composable = DELIVERIES) -> sql.Composed:
    """The common table expressions, which end in ``permission``; those before them end in ``people (profile_id)``.

    Args:
        channel: the channel.
        deliveries: what caps are counted in: the ledger, or the ledger and what a forecast adds to it.
    """
    column = cdp_column(channel)
    return statement("campaigns", "permission").format(
        address=sql.Identifier(address_column(channel)),
        deliveries=deliveries,
        cdp_consent=sql.SQL("p.{}").format(sql.Identifier(column)) if column else sql.SQL("NULL::boolean"),
    )


def parameters(tenant: Tenant, channel: Channel, event_type: str, moment: datetime) -> Mapping[str, Any]:
    """The parameters of the rules.

    Args:
        tenant: whose settings say how often people get messages, and whether the CDP's consent counts.
        channel: the channel.
        event_type: ``message`` needs a consent that was given; ``confirmation`` one that was requested, once for ever.
        moment: caps are counted in the hours before it.

    Raises:
        ConfigurationError: a setting of the tenant is not usable.
    """
    settings = CampaignSettings.of(tenant)
    asks = event_type == "confirmation"
    return {
        "tenant": tenant.tenant_id,
        "channel": channel.name,
        "wanted": "requested" if asks else "given",
        "trusts_cdp": settings.trust_cdp_consent and not asks,
        "moment": moment,
        "cap_hours": settings.cap_hours,
        "cap": settings.cap_messages,
        "channel_cap": settings.cap_by_channel.get(channel.name, settings.cap_messages),
    }
