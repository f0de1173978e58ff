"""Links to previews: whoever has one sees, without signing in, what is to be paid for, masked."""

from dataclasses import dataclass
from uuid import UUID

from cdp_platform.ops import tokens
from cdp_platform.ops.tokens import Tokens

_KIND = "preview"


@dataclass(frozen=True)
class PreviewLinks:
    """Makes and reads links to previews.

    Attributes:
        base_url: address of the web app as customers reach it.
        tokens: what signs.
    """

    base_url: str
    tokens: Tokens

    def link(self, tenant_id: str, search_id: UUID) -> str:
        """The address of the preview of a search."""
        return f"{self.base_url.rstrip('/')}/previews/{self.tokens.sign(_KIND, [tenant_id, str(search_id)])}"

    def read(self, token: str) -> tuple[str, UUID] | None:
        """Tenant and search of a token; None if it is not one of ours."""
        payload = self.tokens.read(_KIND, token)
        return payload and (payload[0], UUID(payload[1]))


def configured() -> PreviewLinks:
    """The links of this installation.

    Raises:
        ConfigurationError: the web app has no address or no keys.
    """
    return PreviewLinks(*tokens.configured("There are no links to previews"))
