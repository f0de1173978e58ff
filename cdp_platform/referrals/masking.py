"""Personal data as it leaves the platform: addresses that tell people apart and name nobody."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

import psycopg

_SALT_BYTES = 32


@dataclass(frozen=True)
class Mask:
    """How one tenant's personal data leaves.

    Attributes:
        salt: secret of the tenant. Without it a hash could be found again by hashing every known address.
        whole_ip: IP addresses leave as they are.
    """

    salt: bytes
    whole_ip: bool

    def email(self, address: str | None) -> str:
        """HMAC-SHA256 of the trimmed address in lower case, as hex digits; empty without an address."""
        normal = (address or "").strip().lower()
        return hmac.digest(self.salt, normal.encode(), hashlib.sha256).hex() if normal else ""

    def ip(self, address: str | None) -> str:
        """The network of an IP address, or the address if the tenant shares it; empty for what is none."""
        return _ip((address or "").strip(), whole=self.whole_ip)


def mask(connection: psycopg.Connection, tenant_id: str, *, whole_ip: bool) -> Mask:
    """The tenant's mask, inside its transaction."""
    return Mask(salt_of(connection, tenant_id), whole_ip)


def salt_of(connection: psycopg.Connection, tenant_id: str) -> bytes:
    """The secret that a tenant's addresses are hashed with, made at the first use; inside its transaction."""
    query = "SELECT salt FROM referrals.address_salt WHERE tenant_id = %s"
    row = connection.execute(query, [tenant_id]).fetchone()
    if row is None:
        connection.execute(
            "INSERT INTO referrals.address_salt (tenant_id, salt) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [tenant_id, secrets.token_bytes(_SALT_BYTES)],
        )
        row = connection.execute(query, [tenant_id]).fetchone()
    assert row is not None  # noqa: S101 (it was made)
    return row[0]


# Many events come from few addresses.
@lru_cache(maxsize=10_000)
def _ip(address: str, *, whole: bool) -> str:
    """``203.0.x.x`` of 203.0.113.7, the first two octets; ``2001:db8:x`` of 2001:db8::1, the first 32 bits."""
    try:
        found: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return ""
    if whole:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is None:
            bits = int(found) >> 96
            return f"{bits >> 16:x}:{bits & 0xFFFF:x}:x"
        found = found.ipv4_mapped
    first, second, *_ = str(found).split(".")
    return f"{first}.{second}.x.x"
