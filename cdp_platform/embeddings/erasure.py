"""Where this room keeps something of a person.

These stores come before those of `customers`: a transaction's vector is found by the transaction, and what the triggers
of the source tables delete is counted by nobody.
"""

from collections.abc import Sequence
from typing import LiteralString

import psycopg
from psycopg import sql

from cdp_platform.warehouse.erasure import Store

_ENTITIES = """
tenant_id = %(tenant)s AND (
    kind = 'profile' AND entity_id = ANY(%(profiles)s)
    OR kind = 'transaction' AND entity_id IN (
        SELECT line_id FROM customers.transactions WHERE tenant_id = %(tenant)s AND profile_id = ANY(%(profiles)s))
)
"""
_PROFILES = "tenant_id = %(tenant)s AND profile_id = ANY(%(profiles)s)"


def _rows(table: str, condition: LiteralString) -> Store:
    statement = sql.SQL("DELETE FROM {} WHERE ").format(sql.Identifier("embeddings", table)) + sql.SQL(condition)

    def erase(connection: psycopg.Connection, tenant_id: str, profile_ids: Sequence[str]) -> int:
        return connection.execute(statement, {"tenant": tenant_id, "profiles": list(profile_ids)}).rowcount

    return Store(f"embeddings.{table}", erase)


STORES = [
    _rows("embedding_job", _ENTITIES),
    _rows("embedding", _ENTITIES),
    _rows("passage", _ENTITIES),
    _rows("lookalike_audience", _PROFILES),
    _rows("profile_cluster", _PROFILES),
]
