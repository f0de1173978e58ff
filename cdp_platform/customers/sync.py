"""Moving a tenant's changed documents from ArangoDB into PostgreSQL, so that none is lost and none costs twice.

A run reads one sorted cursor to its end, a batch at a time. Rows, rejections and the watermark of a batch are one
transaction, so a run that dies anywhere is repeated from the last whole batch. What can be missed by a watermark alone
is read again: the last minutes (`OVERLAP`, for writers that commit late), documents without a stamp, and everything
where the source has more documents than have come here. Documents that are unchanged are told by their hash and neither
mapped nor written.

What no incremental run sees: a document that is deleted, and one that is changed without a newer stamp. A full run sees
the second.
"""

import re
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import psycopg
from psycopg import sql

from cdp_platform.customers.documents import Document, key
from cdp_platform.customers.source import TenantSource, stamp
from cdp_platform.errors import BusyError
from cdp_platform.warehouse import load, rejected, watermark
from cdp_platform.warehouse.connection import single_flight, tenant_transaction
from cdp_platform.warehouse.rejected import RejectedDocumentError, Rejection
from cdp_platform.warehouse.tenants import Tenant
from cdp_platform.warehouse.watermark import Watermark

# A stamp is set before its commit. ArangoDB ends stream transactions after two minutes at most, and large AQL writes
# commit in pieces; ten minutes cover the slowest writer with room for the skew between two application servers.
OVERLAP = timedelta(minutes=10)

# Only this form orders as text the way it orders in time.
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")

FOREIGN_TENANT = "foreign_tenant"

# Whoever comes second waits this long for the first to end.
_WAIT_SECONDS = 300


class Mapper(Protocol):
    """How documents of one collection become rows of one table."""

    collection: str
    target: load.Target

    def prepare(self, batch: list[Document]) -> None:
        """Fetch what the rows of this batch need beside their documents."""

    def fingerprint(self, document: Document) -> tuple[bytes, bytes]:
        """Canonical bytes and hash; raises RejectedDocumentError."""
        ...

    def row(self, document: Document, content: bytes, digest: bytes) -> tuple[Any, ...]:
        """The row; raises RejectedDocumentError."""
        ...


@dataclass
class SyncResult:
    """What a run did, in documents.

    ``read`` = ``new`` + ``changed`` + ``unchanged`` + ``rejected``.

    Attributes:
        rejected_by_code: how many were rejected for which reason.
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
    rejected_by_code: dict[str, int] = field(default_factory=dict)
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
        for code, count in batch.rejected_by_code.items():
            self.rejected_by_code[code] = self.rejected_by_code.get(code, 0) + count


Progress = Callable[[int, int | None], None]
"""Called after each batch with the documents read so far and how many there are in all, None if unknown."""


def sync(
    connection: psycopg.Connection,
    source: TenantSource,
    tenant: Tenant,
    mapper: Mapper,
    *,
    full: bool = False,
    progress: Progress = lambda _read, _total: None,
) -> SyncResult:
    """Bring one tenant's table up to its collection.

    Args:
        connection: of the platform's role, outside any transaction.
        source: the tenant's database.
        tenant: whose rows they are.
        mapper: of the collection.
        full: read every document again, not only those since the watermark.
        progress: is told after each batch.

    Raises:
        BusyError: another sync of this tenant and collection did not end in time; nothing was done.
        SourceError: the source could not be read to its end; what came before is landed and will not be read again.
    """
    collection, database = mapper.collection, tenant.arango_database
    with exclusively(connection, tenant, collection):
        with tenant_transaction(connection, tenant.tenant_id):
            known = watermark.read(connection, tenant.tenant_id, collection, database=database)
        began = _now(connection)
        # A stamp ahead of the source's own clock is an error of whoever wrote it. It lands, but if it became the
        # watermark, everything written until that moment would be missed.
        trusted_until = stamp(source.now())
        result = SyncResult(source_count=source.count(collection), watermark=known.stamp if known else None)

        def read(batches: Generator[list[Document]], position: Watermark | None, total: int | None) -> None:
            progress(result.read, total)
            with closing(batches):
                for batch in batches:
                    mapper.prepare(batch)
                    position = _later(position, _position(batch, trusted_until))
                    with tenant_transaction(connection, tenant.tenant_id):
                        result.add(land(connection, tenant, mapper, batch))
                        if position is not None:
                            watermark.write(connection, tenant.tenant_id, collection, position, database=database)
                            result.watermark = position.stamp
                    progress(result.read, total)

        if known is not None and not full:
            read(_changes(source, collection, known), known, None)
            # Documents that came with older stamps, as an import or a restore brings them: no watermark sees those.
            result.full = result.source_count > _held(connection, tenant, mapper)
        else:
            result.full = True
        if result.full:
            # From nothing: after the source was restored, its greatest stamp may lie before ours.
            read(source.everything(collection), None, result.read + result.source_count)
        with tenant_transaction(connection, tenant.tenant_id):
            if result.full:
                rejected.resolve_unseen(connection, tenant.tenant_id, collection, began)
            watermark.succeeded(connection, tenant.tenant_id, collection, result.source_count)
            result.rows = load.count_rows(connection, mapper.target, tenant.tenant_id)
        return result


def replay(connection: psycopg.Connection, tenant: Tenant, mapper: Mapper, *, batch_size: int = 1000) -> SyncResult:
    """Map and load every waiting document of a tenant and collection again; those that fail again go on waiting.

    The kept document is the newest version that was seen: a newer one that was taken has ended the waiting.

    Raises:
        BusyError: a sync of this tenant and collection did not end in time; nothing was done.
    """
    result = SyncResult()
    with exclusively(connection, tenant, mapper.collection):
        after = ""
        while True:
            with tenant_transaction(connection, tenant.tenant_id):
                page = rejected.waiting_documents(
                    connection, tenant.tenant_id, mapper.collection, after=after, limit=batch_size
                )
                if not page:
                    return result
                documents = [document for _, document in page]
                mapper.prepare(documents)
                result.add(land(connection, tenant, mapper, documents))
            after = page[-1][0]


@contextmanager
def exclusively(connection: psycopg.Connection, tenant: Tenant, collection: str) -> Generator[None]:
    """Be the only one who writes what comes from this collection of this tenant; raises BusyError after a long wait."""
    with single_flight(connection, f"sync {tenant.tenant_id} {collection}", wait_seconds=_WAIT_SECONDS) as free:
        if not free:
            raise BusyError(f"Another sync of {collection} for tenant {tenant.tenant_id} has been running for long.")
        yield


def land(connection: psycopg.Connection, tenant: Tenant, mapper: Mapper, batch: list[Document]) -> SyncResult:
    """Write one batch inside the caller's transaction: rows that are new or changed, and rejections."""
    rejections: list[Rejection] = []
    prints: dict[str, tuple[Document, bytes, bytes]] = {}
    for document in batch:
        try:
            _belongs(document, tenant)
            prints[key(document)] = (document, *mapper.fingerprint(document))
        except RejectedDocumentError as error:
            # Somebody else's document is none of ours to keep.
            kept = {"_key": key(document)} if error.code == FOREIGN_TENANT else document
            rejections.append(Rejection.of(key(document), kept, error))
    unchanged = load.unchanged_keys(
        connection,
        mapper.target,
        tenant.tenant_id,
        {document_key: digest for document_key, (_, _, digest) in prints.items()},
    )
    rows = []
    for document_key, (document, content, digest) in prints.items():
        if document_key in unchanged:
            continue
        try:
            rows.append(mapper.row(document, content, digest))
        except RejectedDocumentError as error:
            rejections.append(Rejection.of(document_key, document, error))
    new, changed = load.merge(connection, mapper.target, rows) if rows else (0, 0)
    rejected.record(connection, tenant.tenant_id, mapper.collection, rejections)
    taken = prints.keys() - {rejection.document_key for rejection in rejections}
    rejected.resolve(connection, tenant.tenant_id, mapper.collection, taken)
    by_code: dict[str, int] = {}
    for rejection in rejections:
        by_code[rejection.code] = by_code.get(rejection.code, 0) + 1
    return SyncResult(len(batch), new, changed, len(unchanged), len(rejections), by_code)


def _changes(source: TenantSource, collection: str, known: Watermark) -> Generator[list[Document]]:
    yield from source.unstamped(collection)
    yield from source.changed_since(collection, stamp(datetime.fromisoformat(known.stamp) - OVERLAP))


def _now(connection: psycopg.Connection) -> datetime:
    row = connection.execute("SELECT now()").fetchone()
    assert row is not None  # noqa: S101 (one row always)
    return row[0]


def _held(connection: psycopg.Connection, tenant: Tenant, mapper: Mapper) -> int:
    """How many of the source's documents are here: as rows, or waiting rejected without an older version as row."""
    query = sql.SQL(
        "SELECT (SELECT count(*) FROM {table}"
        " WHERE tenant_id = %(tenant)s AND closed_reason IS DISTINCT FROM 'deleted')"
        " + (SELECT count(*) FROM ops.rejected_record AS r WHERE r.tenant_id = %(tenant)s AND r.source = %(source)s"
        " AND r.resolved_at IS NULL AND NOT EXISTS"
        " (SELECT FROM {table} AS t WHERE t.tenant_id = r.tenant_id AND t.{key} = r.document_key))"
    ).format(table=sql.Identifier(mapper.target.schema, mapper.target.table), key=sql.Identifier(mapper.target.key))
    with tenant_transaction(connection, tenant.tenant_id):
        row = connection.execute(query, {"tenant": tenant.tenant_id, "source": mapper.collection}).fetchone()
    return int(row[0]) if row else 0


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
    """The greater position; the overlap begins before the one that is known."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda position: datetime.fromisoformat(position.stamp))


def _belongs(document: Document, tenant: Tenant) -> None:
    owner = document.get("tenant_id")
    if owner is not None and owner != tenant.tenant_id:
        raise RejectedDocumentError(FOREIGN_TENANT, "$.tenant_id", "the document says that it is another tenant's")
