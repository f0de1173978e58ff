"""Who a person is in this room, and where the room keeps something of them."""

from collections.abc import Collection, Sequence

import psycopg
from psycopg import sql

from cdp_platform.customers import profiles, transactions
from cdp_platform.warehouse import erasure
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.erasure import Store

_FAMILY = """
WITH RECURSIVE family (profile_id) AS (
    SELECT unnest(%(asked)s::text[])
    UNION
    SELECT CASE WHEN p.profile_id = f.profile_id THEN p.root_profile_id ELSE p.profile_id END
    FROM family AS f JOIN customers.cdp_profiles AS p
        ON p.tenant_id = %(tenant)s AND nullif(p.root_profile_id, '') IS NOT NULL
       AND (p.profile_id = f.profile_id OR p.root_profile_id = f.profile_id)
)
SELECT profile_id FROM family
UNION
SELECT unnest(r.profile_ids) FROM ops.rejected_record AS r
WHERE r.tenant_id = %(tenant)s AND r.source = %(source)s
  AND r.profile_ids && ARRAY(SELECT profile_id FROM family)
ORDER BY 1
"""


def profiles_of_person(connection: psycopg.Connection, tenant_id: str, profile_ids: Collection[str]) -> list[str]:
    """These profiles and all that the CDP merged with them, directly or through others: they are the same person."""
    with tenant_transaction(connection, tenant_id):
        rows = connection.execute(
            _FAMILY, {"asked": list(profile_ids), "tenant": tenant_id, "source": profiles.COLLECTION}
        ).fetchall()
    return [row[0] for row in rows]


def _rows_of_profile(table: str) -> Store:
    statement = sql.SQL("DELETE FROM {} WHERE tenant_id = %s AND profile_id = ANY(%s)").format(
        sql.Identifier("customers", table)
    )

    def erase(connection: psycopg.Connection, tenant_id: str, profile_ids: Sequence[str]) -> int:
        return connection.execute(statement, [tenant_id, list(profile_ids)]).rowcount

    return Store(f"customers.{table}", erase)


def _erase_transactions(connection: psycopg.Connection, tenant_id: str, profile_ids: Sequence[str]) -> int:
    gone = connection.execute(
        "DELETE FROM customers.transactions WHERE tenant_id = %s AND profile_id = ANY(%s) RETURNING line_id",
        [tenant_id, list(profile_ids)],
    ).fetchall()
    erasure.bury(connection, tenant_id, transactions.COLLECTION, [row[0] for row in gone])
    return len(gone)


def _erase_profiles(connection: psycopg.Connection, tenant_id: str, profile_ids: Sequence[str]) -> int:
    erasure.bury(connection, tenant_id, profiles.COLLECTION, profile_ids)
    return _rows_of_profile("cdp_profiles").erase(connection, tenant_id, profile_ids)


def _erase_rejected(connection: psycopg.Connection, tenant_id: str, profile_ids: Sequence[str]) -> int:
    gone = connection.execute(
        "DELETE FROM ops.rejected_record WHERE tenant_id = %s AND profile_ids && %s RETURNING source, document_key",
        [tenant_id, list(profile_ids)],
    ).fetchall()
    for collection in {source for source, _ in gone}:
        erasure.bury(connection, tenant_id, collection, [key for source, key in gone if source == collection])
    return len(gone)


# The last two empty what deleting from the others touches.
STORES = [
    Store("customers.cdp_profiles", _erase_profiles),
    Store("customers.transactions", _erase_transactions),
    Store("ops.rejected_record", _erase_rejected),
    _rows_of_profile("customer_metrics"),
    _rows_of_profile("touched_customer"),
]
