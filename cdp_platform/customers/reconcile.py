"""Comparing all keys and revisions of a source with what is here, and mending the difference.

A watermark sees neither what is deleted nor what changes without a newer stamp. This comparison does: it reads key and
revision of every document, page by page, and works on the two sets inside PostgreSQL. Missing and changed documents are
read; what is gone is closed as deleted, its row stays. An empty source, or one that suddenly lacks more than a set
share, closes nothing until a person approves.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import psycopg
from psycopg import sql

from cdp_platform.customers.landing import SyncResult, land
from cdp_platform.customers.mappers import Mapper
from cdp_platform.customers.source import TenantSource
from cdp_platform.customers.sync import Progress
from cdp_platform.ops import locks
from cdp_platform.ops.brake import Brake
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction

_BRAKE = Brake(max_share=0.05, free=10, stops_at_all=True)
_PAGE = 1000


@dataclass
class Reconciliation:
    """What a comparison found and did, in documents; a row of ``ops.reconciliation``.

    Attributes:
        source_count: documents in the source, those of erased persons left out.
        target_count: of those, how many are here in the end, as open or closed rows or waiting rejected.
        source_checksum: exclusive or of the 64-bit hashes of the keys, in hex.
        target_checksum: likewise; equal to the source's if just the same keys are on both sides.
        missing: were in the source and not here.
        changed: were here in another version.
        gone: are here and not in the source.
        closed: of those, how many were closed.
        landed: what became of the missing and changed ones.
    """

    source_count: int = 0
    target_count: int = 0
    source_checksum: str = ""
    target_checksum: str = ""
    missing: int = 0
    changed: int = 0
    gone: int = 0
    closed: int = 0
    landed: SyncResult = field(default_factory=SyncResult)

    @property
    def stopped(self) -> bool:
        """Whether so many documents are gone that a person has to decide."""
        return self.closed < self.gone


def reconcile(
    connection: psycopg.Connection,
    source: TenantSource,
    tenant: Tenant,
    mapper: Mapper,
    *,
    approve: bool = False,
    progress: Progress = lambda _read, _total: None,
) -> Reconciliation:
    """Bring one tenant's table in step with its collection, hard deletes included.

    Args:
        connection: of the platform's role, outside any transaction.
        source: the tenant's database.
        tenant: whose rows they are.
        mapper: of the collection.
        approve: close whatever is gone, however much that is: a person has looked.
        progress: is told after each page of keys.

    Raises:
        BusyError: a sync of this tenant and collection did not end in time; nothing was done.
        SourceError: the source could not be read to its end; nothing was closed.
    """
    found = Reconciliation()
    compare = _Comparison(connection, tenant, mapper)
    total = source.count(mapper.collection)
    with locks.held(connection, locks.sync(tenant.tenant_id, mapper.collection)), compare.tables():
        for page in source.keys(mapper.collection):
            compare.take(page)
            found.source_count += len(page)
            progress(found.source_count, total)
        found.missing, found.changed = compare.find_unread()
        for keys in compare.unread():
            documents = source.documents(mapper.collection, keys)
            mapper.prepare(documents)
            with tenant_transaction(connection, tenant.tenant_id):
                found.landed.add(land(connection, tenant, mapper, documents))
                compare.note_revisions(keys)
        with tenant_transaction(connection, tenant.tenant_id):
            compare.leave_erased_out()
            held, found.gone = compare.count_gone()
            if approve or not _BRAKE.stops(found.gone, held):
                found.closed = compare.close_gone()
            compare.record(found)
    return found


def last(connection: psycopg.Connection, tenant: Tenant, collection: str) -> Reconciliation | None:
    """The newest comparison of a collection, without what was landed; None before the first."""
    names = [each.name for each in fields(Reconciliation) if each.name != "landed"]
    query = sql.SQL(
        "SELECT {} FROM ops.reconciliation WHERE tenant_id = %s AND source = %s ORDER BY compared_at DESC LIMIT 1"
    ).format(sql.SQL(", ").join(map(sql.Identifier, names)))
    with tenant_transaction(connection, tenant.tenant_id):
        row = connection.execute(query, [tenant.tenant_id, collection]).fetchone()
    return Reconciliation(**dict(zip(names, row, strict=True))) if row else None


class _Comparison:
    """Both sides as sets in PostgreSQL: temporary tables of this connection, and what is here."""

    def __init__(self, connection: psycopg.Connection, tenant: Tenant, mapper: Mapper) -> None:
        self._connection = connection
        self._tenant = tenant
        self._source = mapper.collection
        self._names = {
            "table": mapper.target.identifier,
            "key": sql.Identifier(mapper.target.key),
            "checksum": sql.SQL("count(*), lpad(to_hex(coalesce(bit_xor(hashtextextended(key, 0)), 0)), 16, '0')"),
            "held": sql.SQL(_HELD).format(table=mapper.target.identifier, key=sql.Identifier(mapper.target.key)),
        }

    @contextmanager
    def tables(self) -> Generator[None]:
        """The temporary tables: they live through the several transactions of a comparison."""
        self._connection.execute("CREATE TEMPORARY TABLE source_key (key text, revision text)")
        self._connection.execute("CREATE TEMPORARY TABLE unread_key (key text, missing boolean)")
        try:
            yield
        finally:
            if not self._connection.closed:
                self._connection.execute("DROP TABLE source_key, unread_key")

    def take(self, page: list[tuple[str, str]]) -> None:
        """A page of keys and revisions of the source."""
        with self._connection.cursor() as cursor, cursor.copy("COPY source_key FROM STDIN") as writer:
            for row in page:
                writer.write_row(row)

    def find_unread(self) -> tuple[int, int]:
        """How many documents of the source are missing here, and how many are here in another version."""
        with tenant_transaction(self._connection, self._tenant.tenant_id):
            self._execute("ANALYZE source_key")
            # An erased person's documents are neither missing nor changed. New versions are read all the same: they may
            # say that the person was merged.
            self._execute(
                "INSERT INTO unread_key SELECT s.key, CASE WHEN e.document_key IS NULL THEN h.key IS NULL END"
                " FROM source_key AS s LEFT JOIN ({held}) AS h ON h.key = s.key LEFT JOIN ops.erased_document AS e"
                " ON e.tenant_id = %(tenant)s AND e.source = %(source)s AND e.document_key = s.key"
                " WHERE coalesce(e.document_key, h.key) IS NULL"
                " OR coalesce(e.revision, h.revision) IS DISTINCT FROM s.revision"
            )
            return self._counted(
                "SELECT count(*) FILTER (WHERE missing), count(*) FILTER (WHERE NOT missing) FROM unread_key"
            )

    def unread(self) -> Iterator[list[str]]:
        """Their keys, page by page."""
        after = ""
        query = "SELECT key FROM unread_key WHERE key > %(after)s ORDER BY key LIMIT %(page)s"
        while rows := self._connection.execute(query, {"after": after, "page": _PAGE}).fetchall():
            yield [row[0] for row in rows]
            after = rows[-1][0]

    def note_revisions(self, keys: list[str]) -> None:
        """Of documents that were read and found unchanged: a write that changed nothing gave them a new revision."""
        self._execute(
            "UPDATE {table} AS t SET revision = s.revision FROM source_key AS s"
            " WHERE t.tenant_id = %(tenant)s AND t.{key} = s.key AND s.key = ANY(%(keys)s)"
            # Rows that were written in this transaction have the revision that they were read with.
            " AND t.revision IS DISTINCT FROM s.revision AND t.synced_at < now()",
            keys=keys,
        )

    def leave_erased_out(self) -> None:
        """An erased person's documents are on neither side; of those that the source has no more, note that."""
        self._execute(
            "UPDATE ops.erased_document AS e SET revision = NULL"
            " WHERE e.tenant_id = %(tenant)s AND e.source = %(source)s AND e.revision IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM source_key AS s WHERE s.key = e.document_key)"
        )
        self._execute(
            "DELETE FROM source_key AS s USING ops.erased_document AS e"
            " WHERE e.tenant_id = %(tenant)s AND e.source = %(source)s AND e.document_key = s.key"
        )

    def count_gone(self) -> tuple[int, int]:
        """How many documents are here, and how many of those are not in the source."""
        return self._counted(
            "SELECT count(*), count(*) FILTER (WHERE s.key IS NULL)"
            " FROM ({held}) AS h LEFT JOIN source_key AS s ON s.key = h.key"
        )

    def close_gone(self) -> int:
        """Close what is gone; returns how many documents that were."""
        # Without its hash, a document that comes back the same is a change and opens the row again.
        return self._counted(
            "WITH gone AS ("
            " SELECT h.key FROM ({held}) AS h WHERE NOT EXISTS (SELECT FROM source_key AS s WHERE s.key = h.key)"
            "), closed AS ("
            " UPDATE {table} AS t SET closed_reason = 'deleted', closed_at = coalesce(t.closed_at, now()),"
            " document_hash = '', revision = NULL FROM gone WHERE t.tenant_id = %(tenant)s AND t.{key} = gone.key"
            "), resolved AS ("
            " UPDATE ops.rejected_record AS r SET resolved_at = now() FROM gone"
            " WHERE r.tenant_id = %(tenant)s AND r.source = %(source)s AND r.resolved_at IS NULL"
            " AND r.document_key = gone.key"
            ") SELECT count(*) FROM gone"
        )[0]

    def record(self, found: Reconciliation) -> None:
        """Note both sides as they are now."""
        found.source_count, found.source_checksum = self._counted("SELECT {checksum} FROM source_key")
        found.target_count, found.target_checksum = self._counted("SELECT {checksum} FROM ({held}) AS h")
        names = [each.name for each in fields(found) if each.name != "landed"]
        self._connection.execute(
            sql.SQL("INSERT INTO ops.reconciliation (tenant_id, source, {}) VALUES (%s, %s, {})").format(
                sql.SQL(", ").join(map(sql.Identifier, names)), sql.SQL(", ").join([sql.Placeholder()] * len(names))
            ),
            [self._tenant.tenant_id, self._source, *(getattr(found, name) for name in names)],
        )

    def _execute(self, statement: str, **parameters: Any) -> psycopg.Cursor:
        return self._connection.execute(
            sql.SQL(statement).format(**self._names),  # ty: ignore[invalid-argument-type]
            {"tenant": self._tenant.tenant_id, "source": self._source, **parameters},
        )

    def _counted(self, query: str) -> Any:
        return self._execute(query).fetchone()


# Key and revision of each document that is here: the newest version that was seen, which may wait rejected.
_HELD = """
SELECT coalesce(r.document_key, t.{key}) AS key,
       CASE WHEN r.document_key IS NULL THEN t.revision ELSE r.revision END AS revision
FROM (
    SELECT {key}, revision FROM {table} WHERE tenant_id = %(tenant)s AND closed_reason IS DISTINCT FROM 'deleted'
) AS t
FULL JOIN (
    SELECT document_key, revision FROM ops.rejected_record
    WHERE tenant_id = %(tenant)s AND source = %(source)s AND resolved_at IS NULL
) AS r ON r.document_key = t.{key}
"""
