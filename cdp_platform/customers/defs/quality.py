"""What the room's checks ask of its tables; assets that build on them ask the blocking ones again themselves."""

import dagster as dg
import psycopg
from psycopg import sql

from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.load import Target


def count(connection: psycopg.Connection, tenant: Tenant, query: sql.SQL | sql.Composed) -> tuple[int, ...]:
    """The one row of a query that counts; ``%(tenant)s`` in it is the tenant."""
    with tenant_transaction(connection, tenant.tenant_id):
        row = connection.execute(query, {"tenant": tenant.tenant_id}).fetchone()
    return tuple(row or ())


def examine_keys(target: Target, connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
    """Whether each key of a tenant's table stands once and is not empty."""
    query = sql.SQL(
        "SELECT count(*), count(DISTINCT {key}), count(*) FILTER (WHERE {key} = '') FROM {table}"
        " WHERE tenant_id = %(tenant)s"
    ).format(key=sql.Identifier(target.key), table=target.identifier)
    rows, keys, empty = count(connection, tenant, query)
    unique = rows == keys and not empty
    return dg.AssetCheckResult(
        passed=unique,
        metadata={"rows": rows, "keys": keys, "empty": empty},
        description=None
        if unique
        else f"{target.name} has a {target.key} twice or empty: was its primary key dropped?",
    )
