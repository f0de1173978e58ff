"""Whether the room's tables are fit to build on: asked by blocking checks, and by all that builds on them."""

import psycopg
from psycopg import sql

from cdp_platform.customers import profiles, transactions
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.load import Target
from cdp_platform.warehouse.statements import statement


def unsound(connection: psycopg.Connection, tenant: Tenant) -> str:
    """Why nothing may be built on a tenant's profiles and transactions now; '' if they are sound."""
    flaws = (keys_flaw(connection, tenant, target)[0] for target in (profiles.TARGET, transactions.TARGET))
    return next(filter(None, flaws), "")


def keys_flaw(connection: psycopg.Connection, tenant: Tenant, target: Target) -> tuple[str, dict[str, int]]:
    """Whether each key of a tenant's table stands once and is not empty.

    Returns:
        What is wrong, or ''; and the numbers of rows, of different keys and of empty keys, by these names.
    """
    query = statement("customers", "count_keys").format(key=sql.Identifier(target.key), table=target.identifier)
    with tenant_transaction(connection, tenant.tenant_id):
        rows, keys, empty = connection.execute(query, {"tenant": tenant.tenant_id}).fetchone() or (0, 0, 0)
    sound = rows == keys and not empty
    flaw = "" if sound else f"{target.name} has a {target.key} twice or empty: was its primary key dropped?"
    return flaw, {"rows": rows, "keys": keys, "empty": empty}
