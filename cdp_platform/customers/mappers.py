"""How documents of a collection become rows of a table, for whoever moves them: one mapper per collection."""

from collections import Counter
from typing import Any, Protocol

from cdp_platform.customers import profiles, transactions
from cdp_platform.customers.documents import Document
from cdp_platform.customers.profiles import ProfileMapper
from cdp_platform.customers.source import TenantSource
from cdp_platform.customers.transactions import TransactionMapper
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse import load

COLLECTIONS = (profiles.COLLECTION, transactions.COLLECTION)


class Mapper(Protocol):
    """How documents of one collection become rows of one table.

    Attributes:
        version: is raised when a row comes out differently for the same document; every document is then read again.
        remarks: how often something was noticed that costs no document, such as an unusable e-mail address.
    """

    collection: str
    target: load.Target
    version: int
    remarks: Counter[str]

    def prepare(self, batch: list[Document]) -> None:
        """Fetch what the rows of this batch need beside their documents."""

    def persons(self, document: Document) -> list[str]:
        """Keys of the profiles that the document is about."""
        ...

    def addresses(self, document: Document) -> list[str]:
        """E-mail addresses of the person that the document describes, as it has them."""
        ...

    def fingerprint(self, document: Document) -> tuple[bytes, bytes]:
        """Canonical bytes and hash; raises RejectedDocumentError."""
        ...

    def row(self, document: Document, content: bytes, digest: bytes) -> tuple[Any, ...]:
        """The row; raises RejectedDocumentError."""
        ...


def mapper_of(collection: str, tenant: Tenant, source: TenantSource) -> Mapper:
    """The mapper of a collection, for the documents of one tenant."""
    if collection == profiles.COLLECTION:
        return ProfileMapper(tenant, source.touchpoints)
    return TransactionMapper(tenant)
