"""How much of a collection a tenant has here, by the counter that triggers keep beside its watermark.

Counting the rows takes longer the more a tenant has, so that is done once, and by every reconciliation.
"""

from dataclasses import dataclass

import psycopg
from psycopg import sql

from cdp_platform.customers.mappers import Mapper
from cdp_platform.ops import erasure
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class Held:
    """What a tenant has of a collection.

    Attributes:
        rows: in the table, closed ones too.
        documents: documents of the source that are here: as rows that are not closed as deleted, rejected without an
            older row, or as tombstones. Tombstones whose documents the source has deleted since the last reconciliation
            are counted too. The same number of documents with old timestamps can then come unnoticed until the next
            reconciliation.
    """

    rows: int
    documents: int


def held(connection: psycopg.Connection, tenant: Tenant, mapper: Mapper) -> Held:
    """Read the counter, inside a transaction of the tenant; counts the rows if that was never done."""
    row = _run(connection, tenant, mapper, "held")
    if row is None:
        recount(connection, tenant, mapper)
        row = _run(connection, tenant, mapper, "held")
    assert row is not None  # noqa: S101 (it was counted)
    return Held(*row)


def recount(connection: psycopg.Connection, tenant: Tenant, mapper: Mapper) -> int:
    """Count the rows and correct the counter, inside a transaction of the tenant.

    The caller has the lock of the collection's sync, so that only erasures could write meanwhile.

    Returns:
        By how many rows the counter was wrong; 0 if it had not counted yet.
    """
    erasure.while_nobody_is_erased(connection, tenant.tenant_id)
    row = _run(connection, tenant, mapper, "recount")
    assert row is not None  # noqa: S101 (an aggregate: one row always)
    return row[0]


def _run(connection: psycopg.Connection, tenant: Tenant, mapper: Mapper, name: str) -> tuple[int, ...] | None:
    query = statement("customers", name).format(table=mapper.target.identifier, key=sql.Identifier(mapper.target.key))
    return connection.execute(query, {"tenant": tenant.tenant_id, "source": mapper.collection}).fetchone()
