"""The assets of the room: profiles, transactions and metrics, one partition per tenant.

Thin on purpose: what is read and written is said in `sync`, `profiles`, `transactions` and `metrics`.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg
import psycopg

from cdp_platform.customers import metrics, profiles, transactions
from cdp_platform.customers.profiles import ProfileMapper
from cdp_platform.customers.quality import examine_keys
from cdp_platform.customers.source import TenantSource
from cdp_platform.customers.sync import Mapper, SyncResult, sync
from cdp_platform.customers.transactions import TransactionMapper
from cdp_platform.orchestration.automation import follow_upstream
from cdp_platform.orchestration.failures import IO_RETRIES
from cdp_platform.orchestration.metadata import counts, table
from cdp_platform.orchestration.partitions import tenant_partitions
from cdp_platform.orchestration.resources import ArangoResource, Progress, WarehouseResource
from cdp_platform.orchestration.tenant_runs import for_each_tenant
from cdp_platform.warehouse import rejected
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.tenants import Tenant

GROUP = "customers"
OWNERS = ["team:customer-data"]


# What every table of the room has: rows of each tenant, made by one run for as many tenants as there are.
_TABLE_PER_TENANT: dict[str, Any] = {
    "key_prefix": GROUP,
    "group_name": GROUP,
    "owners": OWNERS,
    "kinds": {"postgres"},
    "partitions_def": tenant_partitions,
    "backfill_policy": dg.BackfillPolicy.single_run(),
    "automation_condition": follow_upstream(),
    "retry_policy": IO_RETRIES,
}


def _source(collection: str, description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        ["arangodb", collection],
        description=description,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"arangodb"},
        partitions_def=tenant_partitions,
        metadata={"collection": collection},
    )


cdp_profile = _source(
    profiles.COLLECTION, "Customer profiles as LEO CDP keeps them, one ArangoDB database per tenant. Not ours."
)
cdp_profile2conversion = _source(
    transactions.COLLECTION, "Conversion edges (profile -> product) as LEO CDP keeps them, one per line. Not ours."
)


class SyncConfig(dg.Config):
    """How much to read."""

    full: bool = False
    """Read every document again instead of those since the watermark: after a mapping changed or a source restored."""


def _figures(result: SyncResult, connection: psycopg.Connection, tenant: Tenant, mapper: Mapper) -> Mapping[str, Any]:
    with tenant_transaction(connection, tenant.tenant_id):
        waiting = rejected.count_waiting(connection, tenant.tenant_id, mapper.collection)
    return {
        "dagster/partition_row_count": result.rows,
        "read": result.read,
        "new": result.new,
        "changed": result.changed,
        "unchanged": result.unchanged,
        "rejected": result.rejected,
        "rejected_waiting": waiting,
        "rejected_by_code": counts("reason", result.rejected_by_code),
        "source_count": result.source_count,
        "full_read": result.full,
        "watermark": result.watermark or "none",
    }


@dg.asset(
    **_TABLE_PER_TENANT,
    deps=[cdp_profile],
    metadata=table(profiles.TARGET),
)
def cdp_profiles(
    context: dg.AssetExecutionContext,
    config: SyncConfig,
    warehouse: WarehouseResource,
    arango: ArangoResource,
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult:
    """One row per profile of a tenant, with the whole document beside typed columns.

    Reads what changed since the tenant's watermark. Profiles that the CDP merged, deactivated or removed stay as closed
    rows with the reason. A document that cannot be mapped waits in `ops.rejected_record`; the others land. Safe to run
    at any time and any number of times.
    """

    def work(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        with arango.open(tenant.arango_database) as database:
            source = TenantSource(database, tenant)
            mapper = ProfileMapper(tenant, source.touchpoints)
            watch = progress(tenant.tenant_id, "cdp_profiles")
            result = sync(connection, source, tenant, mapper, full=config.full, progress=watch)
        return {**_figures(result, connection, tenant, mapper), "unusable_contacts": mapper.unusable_contacts}

    return for_each_tenant(context, warehouse, work)


@dg.asset(
    **_TABLE_PER_TENANT,
    name="transactions",
    deps=[cdp_profile2conversion],
    metadata=table(transactions.TARGET),
)
def transaction_lines(
    context: dg.AssetExecutionContext,
    config: SyncConfig,
    warehouse: WarehouseResource,
    arango: ArangoResource,
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult:
    """One row per conversion edge, that is per product line; `customers.orders` sums the lines of an order.

    Amounts are exact and keep their currency; none is assumed. Incremental, rejected documents and repeats as for
    `cdp_profiles`.
    """

    def work(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        with arango.open(tenant.arango_database) as database:
            mapper = TransactionMapper(tenant)
            watch = progress(tenant.tenant_id, "transactions")
            result = sync(connection, TenantSource(database, tenant), tenant, mapper, full=config.full, progress=watch)
        return _figures(result, connection, tenant, mapper)

    return for_each_tenant(context, warehouse, work)


@dg.asset(
    **_TABLE_PER_TENANT,
    deps=[cdp_profiles, transaction_lines],
    metadata={"dagster/table_name": "customers.customer_metrics"},
)
def customer_metrics(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, progress: dg.ResourceParam[Progress]
) -> dg.MaterializeResult:
    """One row per open profile and currency: recency, frequency, value, experience score and segment.

    Computed in one statement by `customers.refresh_customer_metrics`, per currency and never across currencies, from
    whole orders. Only rows whose figures changed are written.
    """

    def work(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        watch = progress(tenant.tenant_id, "customer_metrics")
        watch(0, 1)
        result = metrics.refresh(connection, tenant.tenant_id)
        watch(1, 1)
        return {
            "dagster/partition_row_count": result.rows,
            "segments": counts("segment", result.segments),
            **{f"segment_{name}": count for name, count in result.segments.items()},
        }

    sound = (partial(examine_keys, profiles.TARGET), partial(examine_keys, transactions.TARGET))
    return for_each_tenant(context, warehouse, work, only_if=sound)
