"""How a batch of source documents becomes rows, rejections and a watermark, in one transaction.

Whoever brings documents (`sync`, `sharing`, `reconcile`, `segment`, a replay) lands them here, so that the same rules
hold for all: another tenant's document is refused, an erased person stays erased, an unchanged document costs nothing,
and one that cannot be mapped waits with its reason.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import psycopg

from cdp_platform.customers import profiles
from cdp_platform.customers.documents import Document, key
from cdp_platform.customers.mappers import Mapper
from cdp_platform.warehouse import erasure, load, rejected, watermark
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.rejected import RejectedDocumentError, Rejection
from cdp_platform.warehouse.tenants import Tenant
from cdp_platform.warehouse.watermark import Watermark

# Only this form orders as text the way it orders in time.
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")

FOREIGN_TENANT = "foreign_tenant"


@dataclass
class SyncResult:
    """What a run did, in documents.

    ``read`` = ``new`` + ``changed`` + ``unchanged`` + ``rejected`` + ``erased``.

    Attributes:
        erased: left out because their person was erased.
        rejected_by_code: how many were rejected for which reason.
        remarks: what was noticed that cost no document, and how often.
        source_count: documents in the source as the run began.
        rows: rows of the tenant in the table as the run ended.
        full: whether the source was read from its beginning.
        watermark: the stamp that the source has been read to.
    """

    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    erased: int = 0
    rejected_by_code: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    source_count: int = 0
    rows: int = 0
    full: bool = False
    watermark: str | None = None

    def add(self, batch: "SyncResult") -> None:
        """Count a batch in."""
        self.read += batch.read
        self.new += batch.new
        self.changed += batch.changed
        self.unchanged += batch.unchanged
        self.rejected += batch.rejected
        self.erased += batch.erased
        self.rejected_by_code += batch.rejected_by_code
        self.remarks += batch.remarks


@dataclass
class SoFar:
    """A run up to its last landed batch: what it did, and the position that is its watermark."""

    result: SyncResult
    position: Watermark | None


@dataclass(frozen=True)
class Reading:
    """What all batches of one reading of a collection have in common.

    Attributes:
        trusted_until: the source's clock as the reading began. A stamp ahead of it is an error of whoever wrote it: its
            document lands, but if it became the watermark, everything written until that moment would be missed.
    """

    tenant: Tenant
    collection: str
    trusted_until: str


def land_in_turn(
    connection: psycopg.Connection,
    reading: Reading,
    mapper: Mapper,
    batch: list[Document],
    turn: Callable[[], SoFar],
) -> SoFar:
    """Land the next batch of an ordered reading, and move the watermark past it in the same transaction.

    Args:
        connection: outside any transaction.
        reading: that the batch belongs to.
        mapper: of the collection.
        batch: documents ordered by (updatedAt, _key).
        turn: returns once every batch before this one is committed, with what the run did so far.

    Returns:
        The run with this batch, which is committed.
    """
    tenant = reading.tenant
    mapper.prepare(batch)
    with tenant_transaction(connection, tenant.tenant_id):
        landed = land(connection, tenant, mapper, batch)
        so_far = turn()
        position = _later(so_far.position, _position(batch, reading.trusted_until))
        if position is not None:
            watermark.write(connection, tenant.tenant_id, reading.collection, position, database=tenant.arango_database)
            so_far.position, so_far.result.watermark = position, position.stamp
    so_far.result.add(landed)
    return so_far


def land(connection: psycopg.Connection, tenant: Tenant, mapper: Mapper, batch: list[Document]) -> SyncResult:
    """Write one batch inside the caller's transaction: rows that are new or changed, and rejections."""
    erasure.while_nobody_is_erased(connection, tenant.tenant_id)
    batch_size = len(batch)
    batch = _without_erased(connection, tenant, mapper, batch)
    mapper.remarks.clear()
    rejections: list[Rejection] = []
    prints: dict[str, tuple[Document, bytes, bytes]] = {}
    for document in batch:
        try:
            _belongs(document, tenant)
            prints[key(document)] = (document, *mapper.fingerprint(document))
        except RejectedDocumentError as error:
            foreign = error.code == FOREIGN_TENANT
            # Somebody else's document is none of ours to keep.
            kept = {"_key": key(document)} if foreign else document
            rejections.append(Rejection.of(key(document), kept, error, [] if foreign else mapper.persons(document)))
    held = load.held_hashes(connection, mapper.target, tenant.tenant_id, prints.keys())
    rows = []
    changed = unchanged = 0
    for document_key, (document, content, digest) in prints.items():
        if held.get(document_key) == digest:
            unchanged += 1
            continue
        try:
            rows.append(mapper.row(document, content, digest))
        except RejectedDocumentError as error:
            rejections.append(Rejection.of(document_key, document, error, mapper.persons(document)))
        else:
            changed += document_key in held
    if rows:
        load.merge(connection, mapper.target, rows, replacing=changed > 0)
    rejected.record(connection, tenant.tenant_id, mapper.collection, rejections)
    taken = prints.keys() - {rejection.document_key for rejection in rejections}
    rejected.resolve(connection, tenant.tenant_id, mapper.collection, taken)
    return SyncResult(
        read=batch_size,
        new=len(rows) - changed,
        changed=changed,
        unchanged=unchanged,
        rejected=len(rejections),
        erased=batch_size - len(batch),
        rejected_by_code=Counter(rejection.code for rejection in rejections),
        remarks=mapper.remarks.copy(),
    )


def _without_erased(
    connection: psycopg.Connection, tenant: Tenant, mapper: Mapper, batch: list[Document]
) -> list[Document]:
    """The documents that are about nobody who was erased; tombstones for the others."""
    if not erasure.anybody_erased(connection, tenant.tenant_id):
        return batch
    persons = [mapper.persons(document) for document in batch]
    erased = erasure.erased(
        connection, tenant.tenant_id, profiles.COLLECTION, {person for each in persons for person in each}
    )
    if not erased:
        return batch
    dropped = [key(document) for document, each in zip(batch, persons, strict=True) if not erased.isdisjoint(each)]
    # A profile that was merged with an erased one is the same person: whatever is about it stays out too.
    erasure.bury(connection, tenant.tenant_id, mapper.collection, dropped)
    return [document for document, each in zip(batch, persons, strict=True) if erased.isdisjoint(each)]


def _position(batch: list[Document], trusted_until: str) -> Watermark | None:
    """The last document of a sorted batch whose stamp may become the watermark."""
    for document in reversed(batch):
        value = document.get("updatedAt")
        if isinstance(value, str) and _STAMP.fullmatch(value) and value <= trusted_until and _is_a_moment(value):
            return Watermark(value, key(document))
    return None


def _is_a_moment(value: str) -> bool:
    """Whether a text in the right form is a day of the calendar, which the 30th of February is not."""
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _later(one: Watermark | None, other: Watermark | None) -> Watermark | None:
    """The greater position, of equal ones the other; the overlap begins before the one that is known."""
    if one is None or other is None:
        return one or other
    return one if datetime.fromisoformat(one.stamp) > datetime.fromisoformat(other.stamp) else other


def _belongs(document: Document, tenant: Tenant) -> None:
    owner = document.get("tenant_id")
    if owner is not None and owner != tenant.tenant_id:
        raise RejectedDocumentError(FOREIGN_TENANT, "$.tenant_id", "the document says that it is another tenant's")
