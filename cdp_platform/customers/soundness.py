"""Whether the room's tables are fit to build on: asked by blocking checks, and by all that builds on them."""

from datetime import timedelta

import psycopg
from psycopg import sql

from cdp_platform.customers import profiles, transactions
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.load import Target
from cdp_platform.warehouse.statements import statement

# After four runs of the 15-minute schedule were missed, and after a day.
STALE_WARN = timedelta(hours=1)
STALE_ERROR = timedelta(hours=24)


def unsound(connection: psycopg.Connection, tenant: Tenant) -> str:
    """Why nothing may be built on a tenant's profiles and transactions now; '' if they are sound."""
    flaws = (keys_flaw(connection, tenant, target) for target in (profiles.TARGET, transactions.TARGET))
    return next(filter(None, flaws), "")


def keys_flaw(connection: psycopg.Connection, tenant: Tenant, target: Target) -> str:
    """What is wrong unless each key of a tenant's table stands once and is not empty; '' if nothing is.

    Where the primary key is there, PostgreSQL keeps keys unique; only without it the rows are compared.
    """
    names = {"tenant": tenant.tenant_id, "table": target.name, "key": target.key}
    parts = {"key": sql.Identifier(target.key), "table": target.identifier}
    with tenant_transaction(connection, tenant.tenant_id):
        query = statement("customers", "keys_guarded").format(**parts)
        unique, empty = connection.execute(query, names).fetchone() or (False, False)
        if not unique:
            query = statement("customers", "keys_unique").format(**parts)
            unique = connection.execute(query, names).fetchone() == (True,)
    flaw = f"{target.name} has a {target.key} twice or empty: was its primary key dropped?"
    return "" if unique and not empty else flaw
