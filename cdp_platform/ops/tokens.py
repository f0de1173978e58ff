"""Tokens in links: who may do what without signing in, signed so that nobody can make one up.

A token is readable by whoever has it, so it holds nothing of a person. It never expires by time: a link in an old
message still works. Keys rotate: the first one signs, and all of them verify, so a key is taken away when the links
that it signed may stop working.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from cdp_platform import settings
from cdp_platform.errors import ConfigurationError

# Far above what any link needs; longer ones are not worth an HMAC.
_LONGEST = 1024


class Tokens:
    """Signs and reads tokens under these keys."""

    def __init__(self, keys: Sequence[str]) -> None:
        # Of several keys, itsdangerous signs with the last.
        self._keys = list(reversed(keys))

    def sign(self, kind: str, payload: Any) -> str:
        """The token of a payload, which JSON can hold. One of another kind is not read as this one."""
        return str(self._serializer(kind).dumps(payload))

    def read(self, kind: str, token: str) -> Any | None:
        """The payload of a token of this kind; None if none of the keys signed it."""
        if len(token) > _LONGEST:
            return None
        try:
            return self._serializer(kind).loads(token)
        except BadData:
            return None

    def _serializer(self, kind: str) -> URLSafeSerializer:
        return URLSafeSerializer(
            self._keys, salt=kind, signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        )


def configured(without: str) -> tuple[str, Tokens]:
    """Where recipients reach the web app, and what signs its links.

    Args:
        without: what is not possible without them, for the message.

    Raises:
        ConfigurationError: the web app has no address or no keys.
    """
    web = settings.web()
    if not (web.cdp_web_url and web.keys):
        missing = " and ".join(
            name for name, value in {"CDP_WEB_URL": web.cdp_web_url, "CDP_WEB_KEYS": web.keys}.items() if not value
        )
        raise ConfigurationError(f"{without}: set {missing} in the environment or in .env.")
    return web.cdp_web_url, Tokens(web.keys)
