"""The base of mappers whose documents stand alone: nothing is joined to them, and they hold no e-mail address."""

from collections import Counter

from cdp_platform.customers import documents as read
from cdp_platform.customers.documents import Document
from cdp_platform.ops.tenants import Tenant


class PlainMapper:
    """Maps documents of one tenant; a subclass says of which collection, about whom they are, and how a row is made."""

    version: int

    def __init__(self, tenant: Tenant) -> None:
        self.remarks: Counter[str] = Counter()
        self._tenant_id = tenant.tenant_id

    def prepare(self, batch: list[Document]) -> None:
        """These documents need no others."""

    def addresses(self, document: Document) -> list[str]:
        """The document describes no person, so there is none."""
        return []

    def fingerprint(self, document: Document) -> tuple[bytes, bytes]:
        """Canonical bytes and hash."""
        return read.fingerprint(document, version=self.version)
