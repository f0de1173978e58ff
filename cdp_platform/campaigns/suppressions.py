"""Suppression: addresses that get no more messages of a channel, known by their hash alone.

Grain of ``campaigns.suppression``: one row per channel and address. It outlives the erasure of the person, so that
nobody writes to an address again because its history is gone.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import psycopg

from cdp_platform.warehouse.statements import statement

Reason: TypeAlias = Literal["hard_bounce", "complaint", "opt_out", "manual"]


def add(
    connection: psycopg.Connection,
    tenant_id: str,
    channel: str,
    address_hashes: Sequence[bytes],
    reason: Reason,
    *,
    detail: str | None = None,
) -> int:
    """Suppress addresses, inside a transaction of the tenant.

    An address that is suppressed already keeps its reason, but for an opt-out, which a new consent would lift.

    Args:
        connection: inside a transaction of the tenant.
        tenant_id: whose addresses.
        channel: its name, or ``*`` for all channels.
        address_hashes: ``ops.address_hash`` of each.
        reason: why.
        detail: a status code, or who said so.

    Returns:
        How many rows are new or have another reason.
    """
    if not address_hashes:
        return 0
    values = {
        "tenant": tenant_id,
        "channel": channel,
        "hashes": list(address_hashes),
        "reason": reason,
        "detail": detail,
    }
    return connection.execute(statement("campaigns", "suppress"), values).rowcount


def lift_opt_outs(connection: psycopg.Connection, tenant_id: str, channel: str, address_hashes: Sequence[bytes]) -> int:
    """Let addresses have messages again that had opted out and want them now; no other reason is lifted.

    Inside a transaction of the tenant. Returns how many were lifted.
    """
    return connection.execute(
        "DELETE FROM campaigns.suppression WHERE tenant_id = %s AND channel = %s AND address_hash = ANY (%s)"
        " AND reason = 'opt_out'",
        [tenant_id, channel, list(address_hashes)],
    ).rowcount
