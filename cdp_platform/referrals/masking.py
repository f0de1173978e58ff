"""Personal data as it leaves the platform: addresses tell people apart and do not identify them."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

import psycopg

from cdp_platform.ops import addresses


@dataclass(frozen=True)
class Mask:
    """How one tenant's personal data leaves the platform.

    Attributes:
        salt: the tenant's secret of `cdp_platform.ops.addresses`.
        whole_ip: IP addresses are not shortened.
    """

    salt: bytes
    whole_ip: bool

    def email(self, address: str | None) -> str:
        """The hash of an e-mail address; empty without an address."""
        return addresses.outside_hash(self.salt, address)

    def ip(self, address: str | None) -> str:
        """The network of an IP address, or the whole address if the tenant shares it; empty for any other text."""
        return _ip((address or "").strip(), whole=self.whole_ip)


def mask(connection: psycopg.Connection, tenant_id: str, *, whole_ip: bool) -> Mask:
    """The tenant's mask; inside a transaction of the tenant."""
    return Mask(addresses.salt_of(connection, tenant_id), whole_ip)


# Cached, since many events come from few addresses.
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
