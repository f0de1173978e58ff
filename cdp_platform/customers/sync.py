"""Moving a tenant's changed documents from ArangoDB into PostgreSQL, so that none is lost and none costs twice.

A run reads one sorted cursor to its end, a batch at a time. Rows, rejections and the watermark of a batch are one
transaction, so a run that dies anywhere is repeated from the last whole batch. What can be missed by a watermark alone
is read again: the last minutes (`OVERLAP`, for writers that commit late), documents without a stamp, and everything
where the source has more documents than have come here, or where the mapping changed. Documents that are unchanged are
told by their hash and neither mapped nor written. `stamps` says how changes are found whose stamps have another layout
than LEO CDP's.

What no incremental run sees: a document that is deleted, and one that is changed without a newer stamp. `reconcile`
finds both.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import psycopg
from psycopg import sql

from cdp_platform.customers import sharing
from cdp_platform.customers.landing import Reading, SoFar, SyncResult, land, land_in_turn, move
from cdp_platform.customers.mappers import Mapper
from cdp_platform.customers.source import TenantSource
from cdp_platform.ops import locks, rejected, watermark
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse import load
from cdp_platform.warehouse.connection import tenant_transaction

# A stamp is set before its commit. ArangoDB ends stream transactions after two minutes at most, and large AQL writes
# commit in pieces; ten minutes cover the slowest writer with room for the skew between two application servers.
OVERLAP = timedelta(minutes=10)

# Documents from which on a second worker has made up for its start: a thread's connection, a process's second.
_WORTH_A_THREAD = 10_000
_WORTH_A_PROCESS = 50_000

Progress = Callable[[int, int | None], None]
"""Called after each batch with the documents read so far and how many there are in all, None if unknown."""


def sync(
    connection: psycopg.Connection,
    source: TenantSource,
    tenant: Tenant,
    mapper: Mapper,
    *,
    full: bool = False,
    second_process: bool = False,
    progress: Progress = lambda _read, _total: None,
) -> SyncResult:
    """Bring one tenant's table up to its collection.

    Args:
        connection: of the platform's role, outside any transaction.
        source: the tenant's database. A second worker opens connections of its own, as the environment says.
        tenant: whose rows they are.
        mapper: of the collection.
        full: read every document again, not only those since the watermark.
        second_process: share a very large full read with a second process instead of a second thread.
        progress: is told after each batch.

    Raises:
        BusyError: another sync of this tenant and collection did not end in time; nothing was done.
        SourceError: the source could not be read to its end; what came before is landed and will not be read again.
        WorkerLostError: the second process was ended from outside; likewise.
    """
    collection, database = mapper.collection, tenant.arango_database
    with locks.held(connection, locks.sync(tenant.tenant_id, collection)), load.collector_at_rest():
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
            # What is in no order comes first: when the watermark moves on with the others, it has been read.
            for part, batches in (
                (replace(reading, ordered=False), source.scattered(collection, since, reading.trusted_until)),
                (reading, source.changed_since(collection, since)),
            ):
                with closing(batches):
                    for batch in batches:
                        land_in_turn(connection, part, mapper, batch, lambda: so_far)
                        progress(result.read, None)
            # Documents that came with older stamps, as an import or a restore brings them: no watermark sees those.
            result.full = result.source_count > _held(connection, tenant, mapper)
        else:
            result.full = True
        if result.full:
            result.greatest, result.undated = None, 0
            total = result.read + result.source_count
            progress(result.read, total)
            as_process = second_process and total >= _WORTH_A_PROCESS
            read_all = (
                partial(sharing.read_with_another, as_process=as_process)
                if total >= _WORTH_A_THREAD
                else sharing.read_alone
            )
            result = read_all(
                connection,
                source,
                reading,
                mapper,
                # From no position: after the source was restored, its greatest stamp may lie before ours.
                so_far=SoFar(result, None),
                progress=lambda read: progress(read, total),
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
            result.rows = load.count_rows(connection, mapper.target, tenant.tenant_id)
        return result


def replay(connection: psycopg.Connection, tenant: Tenant, mapper: Mapper, *, batch_size: int = 1000) -> SyncResult:
    """Map and load every waiting document of a tenant and collection again; those that fail again go on waiting.

    The kept document is the newest version that was seen: a newer one that was taken has ended the waiting.

    Raises:
        BusyError: a sync of this tenant and collection did not end in time; nothing was done.
    """
    result = SyncResult()
    with locks.held(connection, locks.sync(tenant.tenant_id, mapper.collection)):
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


def _now(connection: psycopg.Connection) -> datetime:
    row = connection.execute("SELECT now()").fetchone()
    assert row is not None  # noqa: S101 (one row always)
    return row[0]


def _held(connection: psycopg.Connection, tenant: Tenant, mapper: Mapper) -> int:
    """How many of the source's documents were dealt with: as rows, rejected without an older row, or erased.

    Erased documents that the source has deleted since the last comparison of keys make it too many. As many documents
    that come with old stamps go unnoticed until the next comparison.
    """
    query = sql.SQL(
        "SELECT (SELECT count(*) FROM {table}"
        " WHERE tenant_id = %(tenant)s AND closed_reason IS DISTINCT FROM 'deleted')"
        " + (SELECT count(*) FROM ops.rejected_record AS r WHERE r.tenant_id = %(tenant)s AND r.source = %(source)s"
        " AND r.resolved_at IS NULL AND NOT EXISTS"
        " (SELECT FROM {table} AS t WHERE t.tenant_id = r.tenant_id AND t.{key} = r.document_key))"
        " + (SELECT count(*) FROM ops.erased_document"
        " WHERE tenant_id = %(tenant)s AND source = %(source)s AND revision IS NOT NULL)"
    ).format(table=mapper.target.identifier, key=sql.Identifier(mapper.target.key))
    with tenant_transaction(connection, tenant.tenant_id):
        row = connection.execute(query, {"tenant": tenant.tenant_id, "source": mapper.collection}).fetchone()
    return int(row[0]) if row else 0
