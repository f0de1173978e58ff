"""How a batch of source documents becomes rows, rejections and a watermark, in one transaction.

Every module that brings documents (`sync`, `full_read`, `reconcile`, `segment_sync`) lands them here, so the same rules
hold for all: another tenant's document is refused, an erased person stays erased, an unchanged document writes nothing,
and a document that cannot be mapped waits with its reason.

Two workers of one full read land batches at the same time. They have no row in common, and share the lock that
erasures take.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeGuard

import psycopg

from cdp_platform.customers import documents, updated_at
from cdp_platform.customers.batches import Batch, Head
from cdp_platform.customers.documents import key
from cdp_platform.customers.erased_documents import ErasedDocuments, leave_out_erased
from cdp_platform.customers.mappers import Mapper
from cdp_platform.customers.typed import Column
from cdp_platform.ops import rejected, watermark
from cdp_platform.ops.rejected import RejectedDocumentError, Rejection
from cdp_platform.ops.tenants import Tenant
from cdp_platform.ops.watermark import Watermark
from cdp_platform.resources.arango import parsed
from cdp_platform.warehouse import load
from cdp_platform.warehouse.connection import tenant_transaction

_log = logging.getLogger(__name__)

# A timestamp further ahead of the source's clock than this is an error; less may be the difference between two clocks.
_AHEAD = timedelta(minutes=10)

FOREIGN_TENANT = "foreign_tenant"


@dataclass
class SyncResult:
    """The result of a run, in documents.

    ``read`` = ``new`` + ``changed`` + ``unchanged`` + ``rejected`` + ``erased``.

    Attributes:
        erased: left out because their person was erased.
        erased_by_merge: profiles (not documents) that were erased because the source merged them with an erased person.
        rejected_by_code: number of rejected documents by code.
        remarks: number of remarks by name; a remark rejects no document.
        source_count: documents in the source when the run began.
        undated: documents in the source whose ``updatedAt`` is no moment or is in the future; every run reads these
            again.
        rows: rows of the tenant in the table when the run ended.
        full: whether the source was read from its beginning.
        watermark: the timestamp up to which the source was read.
        greatest: the greatest timestamp that was read, in any layout. It becomes the watermark when everything is read.
    """

    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    erased: int = 0
    erased_by_merge: int = 0
    rejected_by_code: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    source_count: int = 0
    undated: int = 0
    rows: int = 0
    full: bool = False
    watermark: str | None = None
    greatest: Watermark | None = None

    def add(self, batch: "SyncResult") -> None:
        """Add the numbers of a batch."""
        self.read += batch.read
        self.new += batch.new
        self.changed += batch.changed
        self.unchanged += batch.unchanged
        self.rejected += batch.rejected
        self.erased += batch.erased
        self.erased_by_merge += batch.erased_by_merge
        self.undated += batch.undated
        self.rejected_by_code += batch.rejected_by_code
        self.remarks += batch.remarks


@dataclass
class SoFar:
    """A run up to some landed batch, or one such batch: what was done, and the position of the watermark after it."""

    result: SyncResult
    position: Watermark | None

    def add(self, batch: "SoFar") -> Watermark | None:
        """Add the batch that comes next in the order of the reading; returns the new position."""
        self.position = _later(self.position, batch.position)
        if self.position is not None:
            self.result.watermark = self.position.stamp
        self.result.greatest = _later(self.result.greatest, _later(self.position, batch.result.greatest))
        self.result.add(batch.result)
        return self.position


@dataclass(frozen=True)
class Reading:
    """One reading of a collection: the values that all its batches share.

    Attributes:
        trusted_until: the source's clock when the reading began. A document with a later timestamp lands, but its
            timestamp never becomes the watermark: documents written until that moment would be missed.
        ordered: the documents come in the order of their timestamps, and all before the last one were read.
    """

    tenant: Tenant
    collection: str
    trusted_until: datetime
    ordered: bool = True


def land_and_move(
    connection: psycopg.Connection,
    reading: Reading,
    mapper: Mapper,
    batch: Batch,
    note: Callable[[SoFar], Watermark | None],
) -> None:
    """Land a batch of a reading, and move the watermark in the same transaction.

    Args:
        connection: outside any transaction.
        reading: the reading that the batch belongs to.
        mapper: of the collection.
        batch: documents, ordered by (updatedAt, _key) if the reading is.
        note: called with the landed batch before the commit; returns the position up to which everything is landed if
            this batch is. None leaves the watermark where it is.
    """
    last = _position(batch, reading.trusted_until) if reading.ordered else None
    greatest, undated = _dated(batch, reading.trusted_until)

    def move_on(landed: SyncResult) -> None:
        landed.greatest, landed.undated = greatest, undated
        position = note(SoFar(landed, last))
        if position is not None:
            move(connection, reading, mapper, position)

    land(connection, reading.tenant, mapper, batch, then=move_on)


def move(connection: psycopg.Connection, reading: Reading, mapper: Mapper, position: Watermark) -> None:
    """Make a position the watermark, in the caller's transaction."""
    tenant = reading.tenant
    watermark.write(
        connection,
        tenant.tenant_id,
        reading.collection,
        position,
        database=tenant.arango_database,
        mapper_version=mapper.version,
    )


def land(
    connection: psycopg.Connection,
    tenant: Tenant,
    mapper: Mapper,
    batch: Batch,
    *,
    then: Callable[[SyncResult], object] = lambda _landed: None,
) -> SyncResult:
    """Write one batch in a transaction: rows that are new or changed, and rejections.

    Args:
        connection: outside any transaction.
        tenant: whose rows they are.
        mapper: of the collection.
        batch: the documents; no key twice.
        then: called with the result at the end of the transaction, and part of it.
    """
    mapper.prepare(batch)
    with tenant_transaction(connection, tenant.tenant_id):
        landed = _write(connection, tenant, mapper, _stage(connection, tenant, mapper, batch))
        then(landed)
    return landed


@dataclass
class _Staged:
    """A batch that is mapped and not written yet.

    Attributes:
        batch: all its documents.
        names: the columns that the staged rows have.
        held: keys of the documents that the table has in some version.
        rows: keys of the documents that are staged.
        unchanged: keys of the documents that the table has in this version.
        rejections: of the documents that cannot be mapped.
    """

    batch: Batch
    names: list[str]
    held: Collection[str]
    rows: set[str]
    unchanged: set[str]
    rejections: list[Rejection]


def _stage(connection: psycopg.Connection, tenant: Tenant, mapper: Mapper, batch: Batch) -> _Staged:
    """Map a batch and copy its rows into the temporary table; locks nothing."""
    left_out = ErasedDocuments.of(connection, tenant, mapper, batch).left_out
    try:
        with connection.transaction():
            return _map(connection, tenant, mapper, batch, left_out=left_out, columns_of=mapper.columns)
    except Exception as error:
        if connection.closed:
            raise
        _log.warning(
            "A batch of %s of %s is mapped document by document, which takes longer: %s",
            *(mapper.collection, tenant.tenant_id, type(error).__name__),
        )
    return _map(connection, tenant, mapper, batch, left_out=left_out, columns_of=lambda *_: ([], {}))


def _map(
    connection: psycopg.Connection,
    tenant: Tenant,
    mapper: Mapper,
    batch: Batch,
    *,
    left_out: set[str],
    columns_of: Callable[[Sequence[bytes], Sequence[bytes], Sequence[bytes]], tuple[list[int], dict[str, Column]]],
) -> _Staged:
    """Map a batch, first with the function that makes columns, then the documents that it does not take one by one."""
    mapper.remarks.clear()
    rejections: list[Rejection] = []
    prints: dict[str, tuple[bytes, bytes, bytes]] = {}
    for source, head in zip(batch.sources, batch.heads, strict=True):
        if head.key in left_out:
            continue
        try:
            _belongs(head, tenant)
            content = documents.cut(source)
            prints[head.key] = source, content, mapper.fingerprint(content, head)
        except RejectedDocumentError as error:
            rejections.append(_rejection(source, mapper, error))
    held = load.held_hashes(connection, mapper.target, tenant.tenant_id, prints.keys())
    unchanged = {key for key, (_, _, digest) in prints.items() if held.get(key) == digest}
    waiting = [each for key, each in prints.items() if key not in unchanged]
    places, columns = columns_of(*zip(*waiting, strict=True)) if waiting else ([], {})
    taken = set(places)
    rows = []
    for place, (source, _, digest) in enumerate(waiting):
        if place not in taken:
            document = parsed(source)
            try:
                row = mapper.row(document, documents.unrevised(document), digest)
            except RejectedDocumentError as error:
                rejections.append(_rejection(source, mapper, error))
            else:
                rows.append(load.encoded(mapper.target, row))
    if rows:
        for (name, _), values in zip(mapper.target.columns, zip(*rows, strict=True), strict=True):
            columns[name] = [*columns.get(name, ()), *values]
    staged = columns[mapper.target.key] if columns else []
    names = load.with_values(mapper.target, columns) if staged else []
    if staged:
        load.stage(connection, mapper.target, zip(*(columns[name] for name in names), strict=True), names)
    return _Staged(batch, names, held.keys(), set(staged), unchanged, rejections)


def _rejection(source: bytes, mapper: Mapper, error: RejectedDocumentError) -> Rejection:
    # Whole numbers of any size stay as they are.
    document = json.loads(source)
    if error.code == FOREIGN_TENANT:
        # The document of another tenant is not kept here.
        return Rejection.of(key(document), {"_key": key(document)}, error, [])
    return Rejection.of(key(document), document, error, mapper.persons(document), document.get("_rev"))


def _write(connection: psycopg.Connection, tenant: Tenant, mapper: Mapper, staged: _Staged) -> SyncResult:
    """Write a staged batch without documents of erased persons, in the transaction that staged it."""
    left_out, by_merge = leave_out_erased(connection, tenant, mapper, staged.batch)
    if left_out:
        load.delete(connection, mapper.target, tenant.tenant_id, left_out, staged=bool(staged.rows))
        rejected.delete(connection, tenant.tenant_id, mapper.collection, left_out)
    rows, unchanged = staged.rows - left_out, staged.unchanged - left_out
    rejections = [rejection for rejection in staged.rejections if rejection.document_key not in left_out]
    changed = len(rows.intersection(staged.held))
    if rows:
        load.merge(connection, mapper.target, replacing=changed > 0, names=staged.names)
    rejected.record(connection, tenant.tenant_id, mapper.collection, rejections)
    rejected.resolve(connection, tenant.tenant_id, mapper.collection, rows | unchanged)
    return SyncResult(
        read=len(staged.batch),
        new=len(rows) - changed,
        changed=changed,
        unchanged=len(unchanged),
        rejected=len(rejections),
        erased=sum(key in left_out for key in staged.batch.keys),
        erased_by_merge=by_merge,
        rejected_by_code=Counter(rejection.code for rejection in rejections),
        remarks=mapper.remarks.copy(),
    )


def _position(batch: Batch, trusted_until: datetime) -> Watermark | None:
    """The last document of a sorted batch whose timestamp may become the watermark before everything is read.

    Only timestamps in LEO CDP's layout may: AQL sorts them in the order of time, so a query for texts that are not
    before one finds everything later.
    """
    for head in reversed(batch.heads):
        value = head.updated_at
        if _is_in_order(value) and (moment := updated_at.usable(value)) and moment <= trusted_until:
            return Watermark(updated_at.stamp(moment), head.key)
    return None


def _dated(batch: Batch, trusted_until: datetime) -> tuple[Watermark | None, int]:
    """The greatest timestamp of a batch in layouts without order, and the number of undated documents."""
    greatest: tuple[datetime, str] | None = None
    undated = 0
    ahead = trusted_until + _AHEAD
    latest_text = updated_at.stamp(ahead)
    for head in batch.heads:
        value = head.updated_at
        if _is_in_order(value):
            # This is the usual case, and the text need not be parsed.
            undated += not "1971" <= value <= latest_text
            continue
        moment = updated_at.usable(value)
        if moment is None or moment > ahead:
            undated += 1
        elif moment <= trusted_until and (greatest is None or moment > greatest[0]):
            greatest = moment, head.key
    return Watermark(updated_at.stamp(greatest[0]), greatest[1]) if greatest else None, undated


def _is_in_order(value: Any) -> TypeGuard[str]:
    """Whether a timestamp is in LEO CDP's layout, whose texts sort in the order of time."""
    return isinstance(value, str) and value[10:11] == "T" and value[-1:] == "Z" and value[4:5] == "-"


def _later(one: Watermark | None, other: Watermark | None) -> Watermark | None:
    """The later of two positions; of equal ones ``other``."""
    if one is None or other is None:
        return one or other
    return one if datetime.fromisoformat(one.stamp) > datetime.fromisoformat(other.stamp) else other


def _belongs(head: Head, tenant: Tenant) -> None:
    if head.tenant_id not in (None, tenant.tenant_id):
        raise RejectedDocumentError(FOREIGN_TENANT, "$.tenant_id", "the document says that it is another tenant's")
