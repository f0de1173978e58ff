"""Names of products, which the texts of purchases say instead of keys.

Grain of ``customers.product_name``: one row per product (collection ``cdp_productitem``). A product that is gone keeps
its name, because its purchases stay. A product whose title, keywords or time of change cannot be used waits in
``ops.rejected_record`` until a reading finds it mended or gone; the name that was known of it stays.
"""

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.types.json import Jsonb

from cdp_platform.customers import documents as read
from cdp_platform.customers.documents import Document
from cdp_platform.customers.source import TenantSource
from cdp_platform.ops import rejected
from cdp_platform.ops.rejected import RejectedDocumentError, Rejection
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

COLLECTION = "cdp_productitem"


@dataclass
class NamesResult:
    """What a reading of names did.

    Attributes:
        written: rows that were inserted or changed.
        rejected: products that were rejected.
    """

    written: int = 0
    rejected: int = 0


def refresh(connection: psycopg.Connection, source: TenantSource, tenant_id: str, *, full: bool) -> NamesResult:
    """Read the names of products that changed since the last reading.

    Args:
        connection: of the platform's role, outside any transaction.
        source: the tenant's database. An older CDP without the collection has no names.
        tenant_id: whose products.
        full: read all of them. This also finds changes that did not update the timestamp, and ends the waiting of
            products that are gone.
    """
    with tenant_transaction(connection, tenant_id):
        row = connection.execute(
            "SELECT now(), max(updated_at) FROM customers.product_name WHERE tenant_id = %s AND updated_at <= now()",
            [tenant_id],
        ).fetchone()
    assert row is not None  # noqa: S101 (an aggregate: one row always)
    began, since = row
    result = NamesResult()
    for page in source.product_names(None if full else since):
        rows, rejections = [], []
        for product in page:
            try:
                rows.append(_row(product))
            except RejectedDocumentError as error:
                rejections.append(Rejection.of(read.key(product), product, error, []))
        ids, names, keywords, moments = map(list, zip(*rows, strict=True)) if rows else ([], [], [], [])
        arguments = {"tenant_id": tenant_id, "ids": ids, "names": names, "keywords": keywords, "moments": moments}
        with tenant_transaction(connection, tenant_id):
            result.written += connection.execute(statement("customers", "write_product_names"), arguments).rowcount
            rejected.record(connection, tenant_id, COLLECTION, rejections)
            rejected.resolve(connection, tenant_id, COLLECTION, ids)
        result.rejected += len(rejections)
    if full:
        with tenant_transaction(connection, tenant_id):
            rejected.resolve_unseen(connection, tenant_id, COLLECTION, began)
    return result


def _row(product: Document) -> tuple[str, str | None, Jsonb, datetime | None]:
    read.canonical(product)
    return (
        read.key(product),
        read.text(product, "title"),
        Jsonb(read.texts(product, "keywords")),
        read.timestamp(product, "updatedAt"),
    )
