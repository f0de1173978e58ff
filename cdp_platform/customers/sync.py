"""Moves a tenant's changed documents from ArangoDB into PostgreSQL; no change is lost, and none is written twice.

A run reads one sorted cursor to its end, a batch at a time. Rows, rejections and the watermark of a batch are one
transaction, so a run that dies anywhere is repeated from the last whole batch; `full_read` says how two workers share
a run. A run also reads again what the watermark alone would miss: the last minutes (`OVERLAP`, for writers that commit
late), documents without a timestamp, and all documents if the source has more than have come here or the mapping
changed. A document whose hash is the stored one is neither mapped nor written. `updated_at` says how timestamps in
other layouts than LEO CDP's are found.

No incremental run sees a document that was deleted, or one that changed without a newer timestamp. `reconcile` finds
both.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta

import psycopg

from cdp_platform.customers.batches import Batch
from cdp_platform.customers.counter import held
from cdp_platform.customers.full_read import SecondWorker, read_everything
from cdp_platform.customers.landing import Reading, SoFar, SyncResult, land, land_and_move, move
from cdp_platform.customers.mappers import Mapper
from cdp_platform.customers.source import TenantSource
from cdp_platform.ops import locks, rejected, watermark
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse import load
from cdp_platform.warehouse.connection import tenant_transaction

# A writer sets the timestamp before it commits. ArangoDB ends stream transactions after two minutes at most, and large
# AQL writes commit in pieces: ten minutes cover the slowest writer, and the difference between the clocks of two
# servers.
OVERLAP = timedelta(minutes=10)

# From this number of documents on, a second worker saves more time than opening its connections takes.
_WORTH_A_SECOND = 5_000

Progress = Callable[[int, int | None], None]
"""Called after each batch with the number of documents read so far, and of all documents; None if that is unknown."""


def sync(
    connection: psycopg.Connection,
    source: TenantSource,
    tenant: Tenant,
    mapper: Mapper,
    *,
    full: bool = False,
    second: SecondWorker | None = None,
    progress: Progress = lambda _read, _total: None,
) -> SyncResult:
    """Read what changed in one tenant's collection into its table.

    Args:
        connection: of the platform's role, outside any transaction.
        source: the tenant's database.
        tenant: the owner of the rows.
        mapper: of the collection.
        full: read every document again, not only those since the watermark.
        second: shares a full read of 5,000 documents or more; None to read alone.
        progress: called after each batch.

    Raises:
        BusyError: another sync of this tenant and collection did not end in time; nothing was done.
        SourceError: the source could not be read to its end. Batches before that are landed and will not be read again.
        WorkerLostError: the second process was ended from outside. Batches before that are landed, too.
    """
    collection, database = mapper.collection, tenant.arango_database
    with locks.syncing(connection, tenant.tenant_id, collection), load.collector_at_rest():
        with tenant_transaction(connection, tenant.tenant_id):
            known = watermark.read(
                connection, tenant.tenant_id, collection, database=database, mapper_version=mapper.version
            )
        began = _now(connection)
        reading = Reading(tenant, collection, source.now())
        result = SyncResult(source_count=source.count(collection), watermark=known.stamp if known else None)
        if known is not None and not full:
            progress(0, None)
            so_far = SoFar(result, known)
            since = datetime.fromisoformat(known.stamp) - OVERLAP
            # Documents in no order come first, so that they are read before the watermark moves with the others.
            for part, batches in (
                (replace(reading, ordered=False), source.scattered(collection, since, reading.trusted_until)),
                (reading, source.changed_since(collection, since)),
            ):
                with closing(batches):
                    for batch in batches:
                        land_and_move(connection, part, mapper, batch, so_far.add)
                        progress(result.read, None)
            # An import or a restore brings documents with older timestamps, which the watermark does not show.
            with tenant_transaction(connection, tenant.tenant_id):
                result.full = result.source_count > held(connection, tenant, mapper).documents
        else:
            result.full = True
        if result.full:
            result.greatest, result.undated = None, 0
            total = result.read + result.source_count
            progress(result.read, total)
            result = read_everything(
                connection,
                source,
                reading,
                mapper,
                # Without a position: after a restore of the source, its greatest timestamp may lie before ours.
                so_far=SoFar(result, None),
                progress=lambda read: progress(read, total),
                second=second if total >= _WORTH_A_SECOND else None,
                as_process=second is not None and total >= second.process_from,
            )
        with tenant_transaction(connection, tenant.tenant_id):
            if result.full:
                rejected.resolve_unseen(connection, tenant.tenant_id, collection, began)
            if result.greatest is not None and result.greatest.stamp != result.watermark:
                move(connection, reading, mapper, result.greatest)
                result.watermark = result.greatest.stamp
            watermark.succeeded(
                connection,
                tenant.tenant_id,
                collection,
                result.source_count,
                undated_count=result.undated,
                mapper_version=mapper.version,
            )
            result.rows = held(connection, tenant, mapper).rows
        return result


def replay(connection: psycopg.Connection, tenant: Tenant, mapper: Mapper, *, batch_size: int = 1000) -> SyncResult:
    """Map and load every waiting document of a tenant and collection again; those that fail again stay rejected.

    The kept document is the newest version that was seen, because a newer one that was taken ends the waiting.

    Raises:
        BusyError: a sync of this tenant and collection did not end in time; nothing was done.
    """
    result = SyncResult()
    with locks.syncing(connection, tenant.tenant_id, mapper.collection):
        after = ""
        while True:
            with tenant_transaction(connection, tenant.tenant_id):
                page = rejected.waiting_documents(
                    connection, tenant.tenant_id, mapper.collection, after=after, limit=batch_size
                )
            if not page:
                return result
            result.add(land(connection, tenant, mapper, Batch.of(document for _, document in page)))
            after = page[-1][0]


def _now(connection: psycopg.Connection) -> datetime:
    row = connection.execute("SELECT now()").fetchone()
    assert row is not None  # noqa: S101 (one row always)
    return row[0]
