"""Names of products, which the texts of purchases say instead of keys.

Grain of ``customers.product_name``: one row per product (collection ``cdp_productitem``). A product that is gone keeps
its name, because its purchases stay.
"""

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.types.json import Jsonb

from cdp_platform.customers import documents as read
from cdp_platform.customers.documents import Document
from cdp_platform.customers.source import TenantSource
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement


@dataclass
class NamesResult:
    """What a reading of names did.

    Attributes:
        written: rows that were inserted or changed.
        unusable: products whose title, keywords or time of change have a wrong type; what was known of them stays.
    """

    written: int = 0
    unusable: int = 0


def refresh(connection: psycopg.Connection, source: TenantSource, tenant_id: str, *, full: bool) -> NamesResult:
    """Read the names of products that changed since the last reading.

    Args:
        connection: of the platform's role, outside any transaction.
        source: the tenant's database. An older CDP without the collection has no names.
        tenant_id: whose products.
        full: read all of them. This also finds changes that did not update the timestamp.
    """
    since: datetime | None = None
    if not full:
        with tenant_transaction(connection, tenant_id):
            (since,) = connection.execute(
                "SELECT max(updated_at) FROM customers.product_name WHERE tenant_id = %s AND updated_at <= now()",
                [tenant_id],
            ).fetchone() or (None,)
    result = NamesResult()
    for page in source.product_names(since):
        rows = []
        for product in page:
            try:
                rows.append(_row(product))
            except RejectedDocumentError:
                result.unusable += 1
        ids, names, keywords, moments = map(list, zip(*rows, strict=True)) if rows else ([], [], [], [])
        arguments = {"tenant_id": tenant_id, "ids": ids, "names": names, "keywords": keywords, "moments": moments}
        with tenant_transaction(connection, tenant_id):
            result.written += connection.execute(statement("customers", "write_product_names"), arguments).rowcount
    return result


def _row(product: Document) -> tuple[str, str | None, Jsonb, datetime | None]:
    read.canonical(product)
    return (
        read.key(product),
        read.text(product, "title"),
        Jsonb(read.texts(product, "keywords")),
        read.timestamp(product, "updatedAt"),
    )
