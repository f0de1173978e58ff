"""The addresses that a host may be connected to.

A name is resolved once, the addresses are checked, and the connection is made to one of those very addresses: a name
that resolves to something else a moment later (DNS rebinding) has nothing to gain.
"""

import socket

from cdp_platform.catalog.allowed import Allowed, is_never
from cdp_platform.catalog.errors import SourceError
from cdp_platform.catalog.sources.retries import PassingError
from cdp_platform.deadline import within

_RESOLVE_SECONDS = 10.0
_FOR_NOW = {socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM}


def resolve(host: str, port: int, *, allowed: Allowed) -> list[str]:
    """The addresses of a host that may be connected to, at least one, in the order to try them.

    Raises:
        SourceError: All of them are refused, or there is no such host.
        PassingError: Nobody can say now.
    """
    try:
        found = within(
            _RESOLVE_SECONDS,
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
            late=lambda: PassingError(f"the name {host} is not resolved in time. Check this machine's DNS"),
        )
    except UnicodeError:
        raise SourceError(f"{host[:80]!r} is no host name. Correct the address.", transient=False) from None
    except socket.gaierror as error:
        if error.errno in _FOR_NOW:
            raise PassingError(f"the name {host} cannot be resolved now. Check this machine's DNS") from error
        raise SourceError(f"There is no host {host}. Correct the address.", transient=False) from error
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    fitting = [address for address in addresses if allowed(host, address)]
    if fitting:
        return fitting
    first = next((address for address in addresses if not is_never(address)), None)
    if first is None:
        raise SourceError(
            f"{host} is {addresses[0]}, an address that nothing is ever read from (of this machine's link, or where a "
            "cloud keeps credentials). Correct the address.",
            transient=False,
        )
    raise SourceError(
        f"{host} is {first}, which is no public address, so nothing was sent there. "
        "If it is meant, name the host or its network in allow_addresses of this ingestor.",
        transient=False,
    )
