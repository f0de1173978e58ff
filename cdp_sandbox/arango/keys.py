"""Document keys: which ones are valid, and how a collection makes them itself.

Here belongs what concerns `_key` alone.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from cdp_sandbox.arango.errors import ArangoError

_KEY = re.compile(r"[a-zA-Z0-9_\-:.@()+,=;$!*'%]{1,254}")
_IDENTIFIER = re.compile(r"[^/]{1,256}/[a-zA-Z0-9_\-:.@()+,=;$!*'%]{1,254}")
_LARGEST_TRACKED = 2**63
_SHOWN = {
    "traditional": ("allowUserKeys", "type", "lastValue"),
    "autoincrement": ("allowUserKeys", "type", "offset", "increment", "lastValue"),
    "padded": ("allowUserKeys", "type", "lastValue"),
    "uuid": ("allowUserKeys", "type"),
}


def is_key(value: object) -> bool:
    """Tell whether a value can be a `_key`."""
    return isinstance(value, str) and _KEY.fullmatch(value) is not None


def is_identifier(value: object) -> bool:
    """Tell whether a value has the form of an `_id`, as `_from` and `_to` must."""
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None


@dataclass
class KeyGenerator:
    """Makes the keys of one collection.

    Attributes:
        type: traditional, autoincrement, padded or uuid.
        allow_user_keys: Whether a document may bring its own key.
        increment: Distance of two keys (autoincrement).
        offset: Where the keys start (autoincrement).
        last_value: The greatest number that was a key so far.
    """

    type: str = "traditional"
    allow_user_keys: bool = True
    increment: int = 1
    offset: int = 0
    last_value: int = 0

    @classmethod
    def from_options(cls, options: Any) -> KeyGenerator:
        """Make a generator of the `keyOptions` of a request.

        Raises:
            ArangoError: Unknown type, or numbers out of range.
        """
        options = options if isinstance(options, dict) else {}
        generator = cls(
            type=options.get("type", "traditional"),
            allow_user_keys=options.get("allowUserKeys", True) is not False,
            increment=options.get("increment", 1),
            offset=options.get("offset", 0),
        )
        if generator.type not in _SHOWN:
            raise ArangoError(400, 1232, "invalid key generator")
        if not isinstance(generator.increment, int) or not 1 <= generator.increment <= 65535:
            raise ArangoError(400, 1232, "increment value must be greater than zero and smaller than 65536")
        if not isinstance(generator.offset, int) or generator.offset < 0:
            raise ArangoError(400, 1232, "offset value must be zero or greater")
        return generator

    def describe(self) -> dict[str, Any]:
        """Return the generator as a client sees it (`keyOptions`)."""
        values = {
            "allowUserKeys": self.allow_user_keys,
            "type": self.type,
            "offset": self.offset,
            "increment": self.increment,
            "lastValue": self.last_value,
        }
        return {name: values[name] for name in _SHOWN[self.type]}

    def stored(self) -> dict[str, Any]:
        """Return what makes this generator again after a restart."""
        return asdict(self)

    def next(self, new_number: Callable[[], int]) -> str:
        """Return a key that was never used.

        Args:
            new_number: Gives a fresh ascending number of the server.
        """
        if self.type == "uuid":
            return str(uuid.uuid4())
        if self.type == "autoincrement":
            if self.last_value < self.offset:
                self.last_value = self.offset
            else:
                self.last_value += self.increment - (self.last_value - self.offset) % self.increment
        else:
            self.last_value = max(new_number(), self.last_value + 1)
        return f"{self.last_value:016x}" if self.type == "padded" else str(self.last_value)

    def track(self, key: str) -> None:
        """Take note of a key that a client chose, so that it is not made again."""
        if self.type == "padded" and len(key) == 16:
            with contextlib.suppress(ValueError):
                self._track_number(int(key, 16))
        elif self.type in {"traditional", "autoincrement"} and key.isascii() and key.isdigit():
            self._track_number(int(key))

    def _track_number(self, number: int) -> None:
        # From there on no more keys could be made. A generated key never gets there, and so never meets one.
        if number < _LARGEST_TRACKED:
            self.last_value = max(self.last_value, number)
