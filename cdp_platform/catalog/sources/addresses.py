"""Which addresses a source may connect to.

A name is resolved once, what comes out is checked, and the connection is made to that very address: a name that
resolves to something else a moment later (DNS rebinding) has nothing to gain.
"""

import socket
from ipaddress import ip_address, ip_network

from cdp_platform.catalog.errors import SourceError
from cdp_platform.catalog.sources.retries import PassingError

# What `ipaddress` takes for global: addresses of protocols, of which Python 3.11 knows a few only, and those that hold
# an IPv4 address. Where these lead is decided elsewhere, and it may be here.
_NOT_PUBLIC = [
    ip_network(network)
    for network in (
        "192.0.0.0/24",
        "fec0::/10",
        "::/96",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2002::/16",
    )
]
_FOR_NOW = {socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM}


def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The addresses of a host that may be connected to, at least one, in the order to try them.

    Raises:
        SourceError: All of them are refused, or there is no such host.
        PassingError: Nobody can say now.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise SourceError(f"{host[:80]!r} is no host name. Correct the address.", transient=False) from None
    except socket.gaierror as error:
        if error.errno in _FOR_NOW:
            raise PassingError(f"the name {host} cannot be resolved now. Check this machine's DNS") from error
        raise SourceError(f"There is no host {host}. Correct the address.", transient=False) from error
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    allowed = [address for address in addresses if allow_private or is_public(address)]
    if not allowed:
        raise SourceError(
            f"{host} is {addresses[0]}, which is no public address, so nothing was sent there. "
            "If it is meant, set allow_private_addresses: true for this ingestor.",
            transient=False,
        )
    return allowed


def is_public(address: str) -> bool:
    """Tell whether an address is one of the public internet, and says so itself."""
    ip = ip_address(address.partition("%")[0])
    if any(ip in network for network in _NOT_PUBLIC):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)
