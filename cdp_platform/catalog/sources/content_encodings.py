"""The encodings of a body over HTTP: none, gzip and deflate.

A body is unpacked piece by piece and only as far as asked for, so that a small body cannot fill the memory.
"""

import zlib
from typing import Any

from cdp_platform.catalog.errors import UnreadableError

# First bytes of a member of a gzip file.
_MEMBER = b"\x1f\x8b"


def decoder_of(encoding: str, where: str) -> "_Identity | _Inflate":
    """A decoder that unpacks a body in pieces.

    Raises:
        UnreadableError: the platform did not ask for this encoding.
    """
    if encoding in {"", "identity"}:
        return _Identity()
    if encoding in {"gzip", "x-gzip"}:
        return _Inflate(gzip=True)
    if encoding == "deflate":
        return _Inflate(gzip=False)
    raise UnreadableError(
        f"{where}: the body is encoded as {encoding[:40]!r}, which was not asked for. Ask its owner to"
        " correct the server."
    )


class _Identity:
    def feed(self, data: bytes, most: int) -> bytes:
        return data[:most]

    def is_whole(self) -> bool:
        return True


class _Inflate:
    """Unpacks gzip or deflate, at most as many bytes as asked for."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inflater: Any = None
        # The first byte of a possible next member, and whether the rest is no member.
        self._held, self._ended = b"", False

    def feed(self, data: bytes, most: int) -> bytes:
        unpacked = bytearray()
        data = self._held + data
        self._held = b""
        while data and len(unpacked) < most and not self._ended:
            if self._inflater is None:
                self._inflater = zlib.decompressobj(self._window(data[0]))
            elif self._inflater.eof and self._gzip:
                # A gzip file may have several members, with padding between and after them.
                data = data.lstrip(b"\0")
                if data in {b"", _MEMBER[:1]}:
                    self._held = data
                    break
                if not data.startswith(_MEMBER):
                    self._ended = True
                    break
                self._inflater = zlib.decompressobj(self._window(data[0]))
            unpacked += self._inflater.decompress(data, most - len(unpacked))
            data = self._inflater.unused_data if self._inflater.eof and self._gzip else b""
        return bytes(unpacked)

    def is_whole(self) -> bool:
        return self._inflater is not None and self._inflater.eof

    def _window(self, first: int) -> int:
        if self._gzip:
            return 31
        # By the standard, deflate has zlib's frame. Some servers omit it; the first byte shows that.
        return 15 if first & 0x8F == 0x08 else -15
