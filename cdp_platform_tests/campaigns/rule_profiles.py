"""Profiles of which only the document matters, and whom rules find among them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from cdp_platform.campaigns import rules
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.campaigns.aql_rules import aql
from cdp_platform_tests.sandbox.aql.memory import Collections
from cdp_sandbox.arango.aql import execute

TENANT = "acme"

_PLANT = """
INSERT INTO customers.cdp_profiles
SELECT r.* FROM jsonb_array_elements(%s) AS document CROSS JOIN LATERAL jsonb_populate_record(
    NULL::customers.cdp_profiles,
    (SELECT jsonb_object_agg(attname, '[]'::jsonb) FROM pg_attribute
     WHERE attrelid = 'customers.cdp_profiles'::regclass AND atttypid = 'jsonb'::regtype)
    || jsonb_build_object('tenant_id', %s::text, 'profile_id', document ->> '_key', 'status', 'active',
        'segments', coalesce(document -> 'inSegments', '[]'), 'document', document, 'document_hash', '',
        'synced_at', now())) AS r
"""


def plant(connection: psycopg.Connection, documents: Iterable[dict[str, Any]], tenant_id: str = TENANT) -> None:
    """Write profiles with these documents, inside a transaction of the tenant."""
    connection.execute(_PLANT, [Jsonb(list(documents)), tenant_id])


def found_by_sql(connection: psycopg.Connection, tree: Any) -> tuple[set[str], datetime]:
    """Keys of the profiles that the rules find, and the moment; inside a transaction of the tenant."""
    query = rules.compiled(rules.parse(tree), TENANT, list)
    found = connection.execute(query).fetchall()
    # As a part of a larger statement, whose parameters are the caller's.
    (number,) = connection.execute(
        b"SELECT count(*) + %s FROM (" + query.as_bytes(connection) + b") AS q", [0]
    ).fetchone() or (None,)
    assert number == len(found)
    (now,) = connection.execute("SELECT now()").fetchone() or (None,)
    assert now is not None
    return {row[0] for row in found}, now


def found_by_aql(documents: list[dict[str, Any]], tree: dict[str, Any], now: datetime) -> set[str]:
    """Keys of the profiles that the CDP's query finds."""
    rows = execute(aql(tree), {}, Collections(cdp_profile=documents), now=lambda: now).rows
    return set(rows)


def compare(
    connection: psycopg.Connection, documents: list[dict[str, Any]], trees: Iterable[dict[str, Any]]
) -> list[set[str]]:
    """Plant the profiles, ask both, undo it; keys of those whom each tree of rules finds."""
    found = []
    with tenant_transaction(connection, TENANT), connection.transaction(force_rollback=True):
        plant(connection, documents)
        for tree in trees:
            by_sql, now = found_by_sql(connection, tree)
            by_aql = found_by_aql(documents, tree, now)
            differing = [each for each in documents if each["_key"] in by_sql ^ by_aql]
            assert by_sql == by_aql, (tree, sorted(by_sql), differing)
            found.append(by_sql)
    return found
