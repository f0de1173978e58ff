"""The assets of the room that are made by tenant: segments and consent.

The work itself is in the plain modules of the room.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import psycopg

from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration.failures import IO_RETRIES
from cdp_platform.orchestration.metadata import counts, table
from cdp_platform.orchestration.partitions import tenant_partitions
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.tenant_runs import for_each_tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

GROUP = "campaigns"

ROOM: dict[str, Any] = {
    "key_prefix": GROUP,
    "group_name": GROUP,
    "owners": ["team:customer-data"],
    "kinds": {"postgres"},
    "backfill_policy": dg.BackfillPolicy.single_run(),
    "retry_policy": IO_RETRIES,
}


@dg.asset(
    **ROOM,
    partitions_def=tenant_partitions,
    metadata=table("campaigns.consent_management"),
)
def consent(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """One row per person and channel: the consent that holds now.

    People, files and the web app write it at any time, and no sync overwrites it. A run only counts its rows.
    """

    def work(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        with tenant_transaction(connection, tenant.tenant_id):
            rows = connection.execute(statement("campaigns", "consent_counts"), {"tenant": tenant.tenant_id}).fetchall()
        figures = dict(rows)
        return {"dagster/partition_row_count": sum(figures.values()), "states": counts("channel: state", figures)}

    return for_each_tenant(context, warehouse, work)
