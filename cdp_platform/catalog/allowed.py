"""The addresses that feeds may be read from: the public internet, and hosts and networks that an ingestor names.

Link-local addresses and the addresses of a cloud's credential service are never allowed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# `ipaddress` counts these networks as global. They are reserved for protocols, only some of which Python 3.11 knows, or
# contain an IPv4 address. A router decides where they lead, which may be this network.
_NOT_PUBLIC = [
    ip_network(network)
    for network in (
        "192.0.0.0/24",
        "fec0::/10",
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
    )
]
_NEVER = [
    ip_network(network)
    for network in (
        # Link-local, where most clouds have their credential service, and "this" machine.
        "169.254.0.0/16",
        "fe80::/10",
        "0.0.0.0/8",
        "::/128",
        # Multicast, reserved and broadcast.
        "224.0.0.0/4",
        "240.0.0.0/4",
        "ff00::/8",
        # Credential services at other addresses: Alibaba, Oracle, Azure, and over IPv6 AWS, Google, Oracle, Scaleway.
        "100.100.100.200/32",
        "192.0.0.192/32",
        "168.63.129.16/32",
        "fd00:ec2::/32",
        "fd20:ce::/32",
        "fd00:c1::/32",
        "fd00:42::/32",
    )
]
# The last 32 bits of these addresses are an IPv4 address: mapped, translated, compatible, and NAT64.
_ENDS_IN_IPV4 = [ip_network(network) for network in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")]
_LOCAL_NAT64 = ip_network("64:ff9b:1::/48")
_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z_]([a-z0-9_-]{0,61}[a-z0-9_])?")


@dataclass(frozen=True)
class Allowed:
    """Private hosts and networks that an ingestor may connect to.

    Attributes:
        hosts: names, lower case.
        networks: of addresses; a single address is a network of one.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def __call__(self, host: str, address: str) -> bool:
        """Whether a host may be connected to at one of its addresses."""
        ip = _parsed(address)
        if is_never(address):
            return False
        if is_public(address) or _name(host) in self.hosts:
            return True
        held = _held(ip)
        listed = self._lists(ip) or any(map(self._lists, held))
        return listed and all(is_public(str(one)) or self._lists(one) for one in held)

    def _lists(self, ip: Address) -> bool:
        return any(ip in network for network in self.networks)


@lru_cache
def allowed(entries: Iterable[str]) -> Allowed:
    """Read a list of hosts and networks.

    Raises:
        ValueError: an entry is neither, or is never allowed; names the entry by its number, and says what to write.
            Does not repeat the entry, which may be from the environment.
    """
    hosts, networks = set(), []
    for number, entry in enumerate(entries, 1):
        text = _name(entry)
        try:
            network = ip_network(text.strip("[]"), strict=False)
        except ValueError:
            if not _HOST.fullmatch(text):
                raise ValueError(
                    f"entry {number} is neither a host nor a network. Write a name such as feeds.internal, or a "
                    "network such as 10.0.0.0/8"
                ) from None
            hosts.add(text)
            continue
        if any(_is_within(network, never) for never in _NEVER):
            raise ValueError(f"entry {number} is an address that is never connected to. Take it out")
        networks.append(network)
    return Allowed(frozenset(hosts), tuple(networks))


def is_never(address: str) -> bool:
    """Whether an address, or an IPv4 address within it, may never be connected to."""
    ip = _parsed(address)
    return any(one in network for one in (ip, *_held(ip)) for network in _NEVER)


def is_public(address: str) -> bool:
    """Whether an address is clearly of the public internet."""
    ip = _parsed(address)
    if any(ip in network for network in _NOT_PUBLIC):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def _is_within(network: Network, other: Network) -> bool:
    return network.network_address in other and network.prefixlen >= other.prefixlen


def _name(host: str) -> str:
    """A host for comparison: in lower case, and in ASCII as DNS has it."""
    name = host.strip().rstrip(".").lower()
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return name


def _parsed(address: str) -> Address:
    return ip_address(address.partition("%")[0])


def _held(ip: Address) -> list[IPv4Address]:
    """The IPv4 addresses that are part of an IPv6 address."""
    if isinstance(ip, IPv4Address) or int(ip) < 2:
        return []
    if any(ip in network for network in _ENDS_IN_IPV4):
        return [IPv4Address(int(ip) & 0xFFFFFFFF)]
    if ip in _LOCAL_NAT64:
        # RFC 6052: after a prefix of 48 bits the address is 16 bits, 8 zero bits, and 16 bits; after 96 bits, the end.
        bits = int(ip)
        either = ((bits >> 64 & 0xFFFF) << 16 | bits >> 40 & 0xFFFF, bits & 0xFFFFFFFF)
        return [IPv4Address(one) for one in either if one]
    if ip.sixtofour is not None:
        return [ip.sixtofour]
    if ip.teredo is not None:
        return list(ip.teredo)
    # ISATAP.
    return [IPv4Address(int(ip) & 0xFFFFFFFF)] if int(ip) >> 32 & 0xFFFFFFFF in {0x5EFE, 0x02005EFE} else []
