"""Suppression: addresses that get no more messages of a channel, known by their hash alone.

Grain of ``campaigns.suppression``: one row per channel and address. It outlives the erasure of the person, so that
nobody writes to an address again because its history is gone.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, TypeAlias, get_args

import psycopg

from cdp_platform.customers import contacts
from cdp_platform.customers.tenant_settings import CustomerSettings
from cdp_platform.errors import QueryError
from cdp_platform.ops.tenants import Tenant
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
    since: Sequence[datetime] | None = None,
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
        since: when each began; now, if left out.

    Returns:
        How many were not suppressed before.
    """
    if not address_hashes:
        return 0
    values = {
        "tenant": tenant_id,
        "channel": channel,
        "hashes": list(address_hashes),
        "reason": reason,
        "detail": detail,
        "since": list(since or [datetime.now(UTC)] * len(address_hashes)),
    }
    rows = connection.execute(statement("campaigns", "suppress"), values).fetchall()
    return sum(is_new for (is_new,) in rows)


def lift_opt_outs(connection: psycopg.Connection, tenant_id: str, channel: str, address_hashes: Sequence[bytes]) -> int:
    """Let addresses have messages again that had opted out and want them now; no other reason is lifted.

    Inside a transaction of the tenant. A consent that is given after an opt-out lifts it by itself
    (`consent.set_states`). Returns how many were lifted.
    """
    return _lift(connection, tenant_id, channel, address_hashes, ["opt_out"])


def lift(connection: psycopg.Connection, tenant_id: str, channel: str, address_hashes: Sequence[bytes]) -> int:
    """Let addresses have messages again, whatever they were suppressed for, because a person says so.

    Inside a transaction of the tenant. Consent is another thing: without it these addresses still get nothing.
    Returns how many were lifted.
    """
    return _lift(connection, tenant_id, channel, address_hashes, get_args(Reason))


def _lift(
    connection: psycopg.Connection,
    tenant_id: str,
    channel: str,
    address_hashes: Sequence[bytes],
    reasons: Sequence[Reason],
) -> int:
    return connection.execute(
        "DELETE FROM campaigns.suppression WHERE tenant_id = %s AND channel = %s AND address_hash = ANY (%s)"
        " AND reason = ANY (%s)",
        [tenant_id, channel, list(address_hashes), list(reasons)],
    ).rowcount


def hash_of(connection: psycopg.Connection, tenant: Tenant, address: str) -> bytes:
    """The hash of an e-mail address or phone number as a person writes it, inside a transaction of the tenant.

    Raises:
        QueryError: it is neither.
    """
    normal = contacts.email(address) if "@" in address else contacts.phone(address, phone_region(tenant))
    if normal is None:
        raise QueryError("This is neither an e-mail address nor a valid phone number.")
    (found,) = hashes_of(connection, tenant.tenant_id, [normal])
    return found


def hashes_of(connection: psycopg.Connection, tenant_id: str, addresses: Sequence[str]) -> list[bytes]:
    """The hashes of addresses in their normal form, in their order; inside a transaction of the tenant."""
    values = {"tenant": tenant_id, "addresses": list(addresses)}
    return [found for (found,) in connection.execute(statement("campaigns", "address_hashes"), values)]


def phone_region(tenant: Tenant) -> str:
    """The region of the tenant's phone numbers without a country code."""
    return CustomerSettings.of(tenant).phone_region
