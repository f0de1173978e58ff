"""The mappers of all collections: how documents become rows of a table."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from cdp_platform.customers import profiles, segments, transactions
from cdp_platform.customers.batches import Batch, Head
from cdp_platform.customers.documents import Document
from cdp_platform.customers.profiles import ProfileMapper
from cdp_platform.customers.segments import SegmentMapper
from cdp_platform.customers.source import TenantSource
from cdp_platform.customers.transactions import TransactionMapper
from cdp_platform.customers.typed import Column
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse import load

COLLECTIONS = (profiles.COLLECTION, transactions.COLLECTION, segments.COLLECTION)
OF_PERSONS = (profiles.COLLECTION, transactions.COLLECTION)
"""The collections whose documents are about persons."""


class Mapper(Protocol):
    """How documents of one collection become rows of one table.

    Attributes:
        version: raised when a document gives another row than before; every document is then read again.
        remarks: number of remarks by name, such as unusable e-mail addresses; a remark rejects no document.
    """

    collection: str
    target: load.Target
    version: int
    remarks: Counter[str]

    def prepare(self, batch: Batch) -> None:
        """Fetch what the rows of this batch need in addition to their documents."""

    def persons(self, document: Document) -> list[str]:
        """Keys of the profiles that the document is about."""
        ...

    def addresses(self, document: Document) -> list[str]:
        """E-mail addresses of the person that the document describes, as they are in the document."""
        ...

    def fingerprint(self, content: bytes, head: Head) -> bytes:
        """The 16-byte hash that says whether a document has to be written again.

        Args:
            content: the document, as `documents.cut` gives it.
            head: its head; the batch was prepared.
        """
        ...

    def columns(
        self, sources: Sequence[bytes], contents: Sequence[bytes], digests: Sequence[bytes]
    ) -> tuple[list[int], dict[str, Column]]:
        """The columns of the documents in the plain form, as `row` gives them, and the places of these documents.

        Args:
            sources: the documents' JSON; the batch was prepared.
            contents: the same, as `documents.cut` gives it.
            digests: their hashes.

        Returns:
            Places in ``sources``, and every column of the target, its ``jsonb`` values encoded for `load.stage`.
        """
        ...

    def row(self, document: Document, content: bytes, digest: bytes) -> tuple[Any, ...]:
        """The row; raises RejectedDocumentError."""
        ...


def mapper_of(collection: str, tenant: Tenant, source: TenantSource) -> Mapper:
    """The mapper of a collection, for the documents of one tenant."""
    if collection == profiles.COLLECTION:
        return ProfileMapper(tenant, source.touchpoints)
    if collection == segments.COLLECTION:
        return SegmentMapper(tenant)
    return TransactionMapper(tenant)
