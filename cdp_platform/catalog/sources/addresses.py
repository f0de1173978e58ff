"""The addresses of a host that may be connected to.

A name is resolved once, its addresses are checked, and the connection goes to one of these addresses. So a name that
resolves to another address a moment later (DNS rebinding) changes nothing.
"""

import socket

from cdp_platform.catalog.allowed import Allowed, is_never
from cdp_platform.catalog.errors import UnreadableError
from cdp_platform.catalog.sources.retries import PassingError
from cdp_platform.deadline import within

_RESOLVE_SECONDS = 10.0
_FOR_NOW = {socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM}


def resolve(host: str, port: int, *, allowed: Allowed) -> list[str]:
    """The addresses of a host that may be connected to, at least one, in the order to try them.

    Raises:
        UnreadableError: all of them are refused, or there is no such host.
        PassingError: the name cannot be resolved now.
    """
    try:
        found = within(
            _RESOLVE_SECONDS,
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
            late=lambda: PassingError(f"the name {host} is not resolved in time. Check this machine's DNS"),
        )
    except UnicodeError:
        raise UnreadableError(f"{host[:80]!r} is no host name. Correct the address.") from None
    except socket.gaierror as error:
        if error.errno in _FOR_NOW:
            raise PassingError(f"the name {host} cannot be resolved now. Check this machine's DNS") from error
        raise UnreadableError(f"There is no host {host}. Correct the address.") from error
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    fitting = [address for address in addresses if allowed(host, address)]
    if fitting:
        return fitting
    first = next((address for address in addresses if not is_never(address)), None)
    if first is None:
        raise UnreadableError(
            f"{host} is {addresses[0]}, an address that nothing is ever read from (of this machine's link, or where a "
            "cloud keeps credentials). Correct the address."
        )
    raise UnreadableError(
        f"{host} is {first}, which is no public address, so nothing was sent there. "
        "If it is right, name the host or its network in allow_addresses of this ingestor."
    )
