"""The links of a message: they opt out, choose channels, or confirm consent, without signing in.

A link holds a token that says which message of which tenant it stands in, and whose address by its hash, so that it
opts out for ever, also when the delivery is gone. The same link opts out by one click (RFC 8058): a GET shows a page, a
POST acts.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cdp_platform.ops import tokens
from cdp_platform.ops.tokens import Tokens

Kind: TypeAlias = Literal["choose", "confirm"]
"""May its holder choose what the address gets, or confirm that it wants messages?"""


@dataclass(frozen=True)
class Linked:
    """The message that a link stands in.

    Attributes:
        tenant_id: whose message.
        channel: its channel.
        key: of the message.
        address_hash: ``ops.address_hash`` of the address that it went to.
    """

    tenant_id: str
    channel: str
    key: str
    address_hash: bytes


@dataclass(frozen=True)
class Links:
    """Makes and reads the links of messages.

    Attributes:
        base_url: address of the web app as recipients reach it.
        tokens: what signs.
    """

    base_url: str
    tokens: Tokens

    def opt_out(self, tenant_id: str, channel: str, key: str, address_hash: bytes) -> str:
        """The link that opts this address out of the channel; also for the header ``List-Unsubscribe``."""
        return self._link("u", "choose", Linked(tenant_id, channel, key, address_hash))

    def preferences(self, tenant_id: str, channel: str, key: str, address_hash: bytes) -> str:
        """The link to the page where the recipient chooses channels."""
        return self._link("p", "choose", Linked(tenant_id, channel, key, address_hash))

    def confirm(self, tenant_id: str, channel: str, key: str, address_hash: bytes) -> str:
        """The link that confirms consent that was requested."""
        return self._link("c", "confirm", Linked(tenant_id, channel, key, address_hash))

    def read(self, kind: Kind, token: str) -> Linked | None:
        """The message that a link of this kind stands in; None if its token is not one of ours."""
        payload = self.tokens.read(kind, token)
        if payload is None:
            return None
        tenant_id, channel, key, address_hash = payload
        return Linked(tenant_id, channel, key, urlsafe_b64decode(address_hash))

    def _link(self, path: str, kind: Kind, linked: Linked) -> str:
        payload = [linked.tenant_id, linked.channel, linked.key, urlsafe_b64encode(linked.address_hash).decode()]
        return f"{self.base_url.rstrip('/')}/{path}/{self.tokens.sign(kind, payload)}"


def configured() -> Links:
    """The links of this installation.

    Raises:
        ConfigurationError: the web app has no address or no keys.
    """
    return Links(*tokens.configured("No message can be sent without links to opt out"))
