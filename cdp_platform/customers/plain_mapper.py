"""The base of mappers whose documents stand alone: nothing is joined to them, and they hold no e-mail address."""

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from cdp_platform.customers.batches import Batch, Head
from cdp_platform.customers.documents import Document
from cdp_platform.customers.typed import Column
from cdp_platform.ops.tenants import Tenant


class PlainMapper:
    """Maps documents of one tenant; a subclass says of which collection, about whom they are, and how a row is made."""

    version: int

    def __init__(self, tenant: Tenant) -> None:
        self.remarks: Counter[str] = Counter()
        self._tenant_id = tenant.tenant_id
        self._hash = blake2b(digest_size=16, salt=self.version.to_bytes(16))

    def prepare(self, batch: Batch) -> None:
        """These documents need no others."""

    def addresses(self, document: Document) -> list[str]:
        """The document describes no person, so there is none."""
        return []

    def fingerprint(self, content: bytes, head: Head) -> bytes:
        """The hash of the document alone."""
        digest = self._hash.copy()
        digest.update(content)
        return digest.digest()

    def columns(
        self, sources: Sequence[bytes], contents: Sequence[bytes], digests: Sequence[bytes]
    ) -> tuple[list[int], dict[str, Column]]:
        """None: these documents are few, and are mapped one by one."""
        return [], {}
