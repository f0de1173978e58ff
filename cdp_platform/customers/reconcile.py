"""Compares all keys and revisions of a source with what is here, and mends the difference.

It finds deletes, and changes that did not update the timestamp. It reads key and revision of every document, page by
page, and compares the two sets inside PostgreSQL. Missing and changed documents are read. Rows whose documents are gone
are closed as deleted and stay. If the source is empty, or lacks more than a set share at once, nothing is closed until
a person approves.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import psycopg
from psycopg import sql

from cdp_platform.customers.counter import recount
from cdp_platform.customers.landing import SyncResult, land
from cdp_platform.customers.mappers import Mapper
from cdp_platform.customers.source import TenantSource
from cdp_platform.customers.sync import Progress
from cdp_platform.ops import locks
from cdp_platform.ops.brake import Brake
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

_BRAKE = Brake(max_share=0.05, free=10, stops_at_all=True)
_PAGE = 1000


@dataclass
class ReconciliationResult:
    """The result of a reconciliation, in documents; a row of ``ops.reconciliation``.

    Attributes:
        source_count: documents in the source, those of erased persons left out.
        target_count: documents that are here in the end, as open or closed rows or rejected.
        source_checksum: exclusive or of the 64-bit hashes of the source's keys, in hex.
        target_checksum: the same for the keys that are here; equal to the source's if both sides have the same keys.
        missing: documents of the source that were not here.
        changed: documents that were here in another version.
        gone: documents that are here and not in the source.
        closed: gone documents that were closed.
        miscounted: by how many rows the counter was wrong that every sync relies on; it is right since.
        landed: what was done with the missing and changed documents.
    """

    source_count: int = 0
    target_count: int = 0
    source_checksum: str = ""
    target_checksum: str = ""
    missing: int = 0
    changed: int = 0
    gone: int = 0
    closed: int = 0
    miscounted: int = 0
    landed: SyncResult = field(default_factory=SyncResult)

    @property
    def stopped(self) -> bool:
        """Whether more is gone than may be closed without a person's approval."""
        return self.closed < self.gone


def reconcile(
    connection: psycopg.Connection,
    source: TenantSource,
    tenant: Tenant,
    mapper: Mapper,
    *,
    approve: bool = False,
    progress: Progress = lambda _read, _total: None,
) -> ReconciliationResult:
    """Make one tenant's table equal to its collection, hard deletes included.

    Args:
        connection: of the platform's role, outside any transaction.
        source: the tenant's database.
        tenant: whose rows they are.
        mapper: of the collection.
        approve: close all that is gone, whatever its share: a person has looked.
        progress: called after each page of keys.

    Raises:
        BusyError: a sync of this tenant and collection did not end in time; nothing was done.
        SourceError: the source could not be read to its end; nothing was closed.
    """
    found = ReconciliationResult()
    compare = _Comparison(connection, tenant, mapper)
    total = source.count(mapper.collection)
    with locks.syncing(connection, tenant.tenant_id, mapper.collection), compare.tables():
        for page in source.keys(mapper.collection):
            compare.take(page)
            found.source_count += len(page)
            progress(found.source_count, total)
        found.missing, found.changed = compare.find_unread()
        for keys in compare.unread():
            documents = source.documents(mapper.collection, keys)
            landed = land(
                connection, tenant, mapper, documents, then=lambda _landed, keys=keys: compare.note_revisions(keys)
            )
            found.landed.add(landed)
        with tenant_transaction(connection, tenant.tenant_id):
            compare.leave_erased_out()
            held, found.gone = compare.count_gone()
            if approve or not _BRAKE.stops(found.gone, held):
                found.closed = compare.close_gone()
            found.miscounted = recount(connection, tenant, mapper)
            compare.record(found)
    return found


def last(connection: psycopg.Connection, tenant: Tenant, collection: str) -> ReconciliationResult | None:
    """The newest reconciliation of a collection, without ``landed``; None before the first."""
    names = [each.name for each in fields(ReconciliationResult) if each.name != "landed"]
    query = sql.SQL(
        "SELECT {} FROM ops.reconciliation WHERE tenant_id = %s AND source = %s ORDER BY compared_at DESC LIMIT 1"
    ).format(sql.SQL(", ").join(map(sql.Identifier, names)))
    with tenant_transaction(connection, tenant.tenant_id):
        row = connection.execute(query, [tenant.tenant_id, collection]).fetchone()
    return ReconciliationResult(**dict(zip(names, row, strict=True))) if row else None


class _Comparison:
    """Both sides as sets in PostgreSQL: the source in temporary tables of this connection, and the tenant's rows."""

    def __init__(self, connection: psycopg.Connection, tenant: Tenant, mapper: Mapper) -> None:
        self._connection = connection
        self._tenant = tenant
        self._source = mapper.collection
        self._names = {
            "table": mapper.target.identifier,
            "key": sql.Identifier(mapper.target.key),
            "held": statement("customers", "reconcile_held").format(
                table=mapper.target.identifier, key=sql.Identifier(mapper.target.key)
            ),
        }

    @contextmanager
    def tables(self) -> Generator[None]:
        """Create the temporary tables; they last through all transactions of a reconciliation."""
        self._connection.execute("CREATE TEMPORARY TABLE source_key (key text, revision text)")
        self._connection.execute("CREATE TEMPORARY TABLE unread_key (key text, missing boolean)")
        try:
            yield
        finally:
            if not self._connection.closed:
                self._connection.execute("DROP TABLE source_key, unread_key")

    def take(self, page: list[tuple[str, str]]) -> None:
        """Add a page of keys and revisions of the source."""
        with self._connection.cursor() as cursor, cursor.copy("COPY source_key FROM STDIN") as writer:
            for row in page:
                writer.write_row(row)

    def find_unread(self) -> tuple[int, int]:
        """Find documents of the source that are missing here or changed; returns both numbers."""
        with tenant_transaction(self._connection, self._tenant.tenant_id):
            self._connection.execute("ANALYZE source_key")
            self._execute("reconcile_find_unread")
            return self._counted("reconcile_count_unread")

    def unread(self) -> Iterator[list[str]]:
        """Keys of the missing and changed documents, page by page."""
        after = ""
        query = "SELECT key FROM unread_key WHERE key > %(after)s ORDER BY key LIMIT %(page)s"
        while rows := self._connection.execute(query, {"after": after, "page": _PAGE}).fetchall():
            yield [row[0] for row in rows]
            after = rows[-1][0]

    def note_revisions(self, keys: list[str]) -> None:
        """Store the new revision of documents that were read and found unchanged."""
        self._execute("reconcile_note_revisions", keys=keys)

    def leave_erased_out(self) -> None:
        """Take erased persons' documents out of the comparison, and note which of these the source no longer has."""
        self._execute("reconcile_forget_revisions")
        self._execute("reconcile_leave_erased_out")

    def count_gone(self) -> tuple[int, int]:
        """The number of documents that are here, and of those that the source does not have."""
        return self._counted("reconcile_count_gone")

    def close_gone(self) -> int:
        """Close the rows of gone documents; returns the number of documents."""
        return self._counted("reconcile_close_gone")[0]

    def record(self, found: ReconciliationResult) -> None:
        """Store the state of both sides as a row of ``ops.reconciliation``."""
        found.source_count, found.source_checksum = self._counted("reconcile_checksum_of_source")
        found.target_count, found.target_checksum = self._counted("reconcile_checksum_of_held")
        names = [each.name for each in fields(found) if each.name != "landed"]
        self._connection.execute(
            sql.SQL("INSERT INTO ops.reconciliation (tenant_id, source, {}) VALUES (%s, %s, {})").format(
                sql.SQL(", ").join(map(sql.Identifier, names)), sql.SQL(", ").join([sql.Placeholder()] * len(names))
            ),
            [self._tenant.tenant_id, self._source, *(getattr(found, name) for name in names)],
        )

    def _execute(self, name: str, **parameters: Any) -> psycopg.Cursor:
        return self._connection.execute(
            statement("customers", name).format(**self._names),
            {"tenant": self._tenant.tenant_id, "source": self._source, **parameters},
        )

    def _counted(self, name: str) -> Any:
        return self._execute(name).fetchone()
