"""The assets of the room: profiles, transactions, metrics and value, one partition per tenant.

The work is done by `sync`, `reconcile`, `segment_sync`, `metrics` and `value`.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import psycopg
from pydantic import Field

from cdp_platform.customers import metrics, product_names, profiles, segment_sync, segments, transactions
from cdp_platform.customers.counter import held
from cdp_platform.customers.full_read import SecondWorker
from cdp_platform.customers.landing import SyncResult
from cdp_platform.customers.mappers import Mapper, mapper_of
from cdp_platform.customers.reconcile import reconcile
from cdp_platform.customers.soundness import unsound
from cdp_platform.customers.source import TenantSource, open_source
from cdp_platform.customers.sync import Progress as Watch
from cdp_platform.customers.sync import sync
from cdp_platform.ops import rejected
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration import progress
from cdp_platform.orchestration.automation import follow_upstream
from cdp_platform.orchestration.failures import IO_RETRIES
from cdp_platform.orchestration.metadata import counts, table
from cdp_platform.orchestration.partitions import tenant_partitions
from cdp_platform.orchestration.resources import ArangoResource, WarehouseResource
from cdp_platform.orchestration.tenant_runs import for_each_tenant
from cdp_platform.warehouse.connection import tenant_transaction

GROUP = "customers"
OWNERS = ["team:customer-data"]


# Arguments of every table of the room: one partition per tenant, and one run for a range of tenants.
_TABLE_PER_TENANT: dict[str, Any] = {
    "key_prefix": GROUP,
    "group_name": GROUP,
    "owners": OWNERS,
    "kinds": {"postgres"},
    "partitions_def": tenant_partitions,
    "backfill_policy": dg.BackfillPolicy.single_run(),
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
cdp_segment = _source(segments.COLLECTION, "Segments as LEO CDP keeps them: their rules, not their members. Not ours.")


class ReadConfig(dg.Config):
    """What to read. By default, what changed since the watermark."""

    full: bool = Field(
        False, description="Read every document again: after a mapping changed or a source was restored."
    )
    reconcile: bool = Field(
        False,
        description="Afterwards compare all keys with the source, and mend differences that timestamps do not show.",
    )
    approve_deletes: bool = Field(
        False,
        description="With reconcile: close every row whose document is gone from the source, however many there are.",
    )


class SyncConfig(ReadConfig):
    """What to read. By default, what changed since the watermark."""

    segment_id: str | None = Field(
        None, description="Read only the people of this segment. A blank value reads nobody."
    )


def _figures(result: SyncResult, connection: psycopg.Connection, tenant: Tenant, mapper: Mapper) -> dict[str, Any]:
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
        "erased": result.erased,
        "erased_by_merge": result.erased_by_merge,
        **result.remarks,
    }


def _sync(
    connection: psycopg.Connection,
    source: TenantSource,
    tenant: Tenant,
    mapper: Mapper,
    *,
    config: ReadConfig,
    second: SecondWorker,
    watch: Watch,
) -> Mapping[str, Any]:
    result = sync(connection, source, tenant, mapper, full=config.full, second=second, progress=watch)
    mended = {}
    if config.reconcile:
        found = reconcile(connection, source, tenant, mapper, approve=config.approve_deletes, progress=watch)
        result.add(found.landed)
        mended = {
            "target_count": found.target_count,
            "source_checksum": found.source_checksum,
            "target_checksum": found.target_checksum,
            "missing": found.missing,
            "changed_unseen": found.changed,
            "gone": found.gone,
            "closed_as_deleted": found.closed,
        }
        result.source_count, result.rows = found.source_count, result.rows + found.landed.new
    return {
        **_figures(result, connection, tenant, mapper),
        "source_count": result.source_count,
        "full_read": result.full,
        "undated": result.undated,
        "watermark": result.watermark or "none",
        **mended,
    }


def _sync_segment(
    connection: psycopg.Connection,
    source: TenantSource,
    tenant: Tenant,
    mapper: Mapper,
    *,
    segment_id: str,
    watch: Watch,
) -> Mapping[str, Any]:
    if not segment_id:
        result = segment_sync.SegmentResult()
        note = {"note": "segment_id is blank: 0 records processed."}
    else:
        read = (
            segment_sync.sync_profiles if mapper.collection == profiles.COLLECTION else segment_sync.sync_transactions
        )
        result = read(connection, source, tenant, mapper, segment_id, progress=watch)
        note = {"segment": segment_id}
    with tenant_transaction(connection, tenant.tenant_id):
        result.landed.rows = held(connection, tenant, mapper).rows
    return {
        **_figures(result.landed, connection, tenant, mapper),
        "segment_members": result.members,
        "segment_left": result.left,
        **note,
    }


def _materialize(
    collection: str,
    *,
    context: dg.AssetExecutionContext,
    config: ReadConfig,
    warehouse: WarehouseResource,
    arango: ArangoResource,
) -> dg.MaterializeResult:
    def work(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        if not tenant.arango_database:
            # A range of partitions may span it.
            return {"skipped": "the tenant has no ArangoDB database"}
        with open_source(arango.open, tenant) as source:
            mapper = mapper_of(collection, tenant, source)
            watch = progress.of(tenant.tenant_id, mapper.target.table)
            if isinstance(config, SyncConfig) and config.segment_id is not None:
                segment_id = config.segment_id.strip()
                return _sync_segment(connection, source, tenant, mapper, segment_id=segment_id, watch=watch)
            if collection == segments.COLLECTION and not source.has_collection(collection):
                with tenant_transaction(connection, tenant.tenant_id):
                    rows = held(connection, tenant, mapper).rows
                note = f"The CDP has no collection {collection}: nothing was read."
                return {"dagster/partition_row_count": rows, "read": 0, "note": note}
            second = SecondWorker(warehouse.opener, arango.opener)
            figures: dict[str, Any] = {}
            if collection == transactions.COLLECTION:
                # Before the lines, whose texts say the names.
                every = config.full or config.reconcile
                named = product_names.refresh(connection, source, tenant.tenant_id, full=every)
                figures = {"product_names": named.written, "product_names_rejected": named.rejected}
            return {
                **_sync(connection, source, tenant, mapper, config=config, second=second, watch=watch),
                **figures,
            }

    return for_each_tenant(context, warehouse, work)


@dg.asset(
    **_TABLE_PER_TENANT,
    deps=[cdp_profile],
    metadata=table(profiles.TARGET.name),
)
def cdp_profiles(
    context: dg.AssetExecutionContext,
    config: SyncConfig,
    warehouse: WarehouseResource,
    arango: ArangoResource,
) -> dg.MaterializeResult:
    """One row per profile of a tenant, with the whole document beside typed columns.

    Reads what changed since the tenant's watermark. Profiles that the CDP merged, deactivated or removed stay as closed
    rows with the reason. A document that cannot be mapped waits in `ops.rejected_record`; the others land. Safe to run
    at any time and any number of times.
    """
    return _materialize(profiles.COLLECTION, context=context, config=config, warehouse=warehouse, arango=arango)


@dg.asset(
    **_TABLE_PER_TENANT,
    name="transactions",
    deps=[cdp_profile2conversion],
    metadata=table(transactions.TARGET.name),
)
def transaction_lines(
    context: dg.AssetExecutionContext,
    config: SyncConfig,
    warehouse: WarehouseResource,
    arango: ArangoResource,
) -> dg.MaterializeResult:
    """One row per conversion edge, that is per product line; `customers.orders` sums the lines of an order.

    Amounts are exact and keep their currency; none is assumed. Names of products are read too, for the texts of the
    lines. Incremental, rejected documents and repeats as for `cdp_profiles`.
    """
    return _materialize(transactions.COLLECTION, context=context, config=config, warehouse=warehouse, arango=arango)


@dg.asset(
    **_TABLE_PER_TENANT,
    deps=[cdp_segment],
    metadata=table(segments.TARGET.name),
)
def cdp_segments(
    context: dg.AssetExecutionContext,
    config: ReadConfig,
    warehouse: WarehouseResource,
    arango: ArangoResource,
) -> dg.MaterializeResult:
    """One row per segment of the CDP, with its rules; who is in it stands with the profiles.

    Incremental, rejected documents and repeats as for `cdp_profiles`. A CDP without segments has none here.
    """
    return _materialize(segments.COLLECTION, context=context, config=config, warehouse=warehouse, arango=arango)


class MetricsConfig(dg.Config):
    """Whose metrics to compute."""

    full: bool = Field(
        False,
        description="Compute all customers, not only those whose figures can have changed since the last refresh.",
    )


@dg.asset(
    **_TABLE_PER_TENANT,
    automation_condition=follow_upstream(),
    deps=[cdp_profiles, transaction_lines],
    metadata=table("customers.customer_metrics"),
)
def customer_metrics(
    context: dg.AssetExecutionContext,
    config: MetricsConfig,
    warehouse: WarehouseResource,
) -> dg.MaterializeResult:
    """One row per open profile and currency: recency, frequency, a simple value, experience score and segment.

    Computed in one statement by `customers.refresh_customer_metrics`, per currency and never across currencies, from
    whole orders net of refunds; of those customers whose purchases or profile changed, or who crossed a border of 30 or
    90 days, since the last run. Only rows whose figures changed are written.
    """

    def work(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        watch = progress.of(tenant.tenant_id, "customer_metrics")
        watch(0, 1)
        result = metrics.refresh(connection, tenant.tenant_id, full=config.full)
        watch(1, 1)
        return {
            "dagster/partition_row_count": result.rows,
            "computed": result.computed,
            "segments": counts("segment", result.segments),
            **{f"segment_{name}": count for name, count in result.segments.items()},
        }

    return for_each_tenant(context, warehouse, work, unless=unsound)


@dg.asset(
    **_TABLE_PER_TENANT,
    automation_condition=follow_upstream(),
    deps=[cdp_profiles, transaction_lines],
    metadata=table("customers.customer_value"),
)
def customer_value(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """One row per open profile and currency: orders, spend, RFM scores, and what is expected of the next 365 days.

    Expected by the models BG/NBD and Gamma-Gamma, fitted for each currency; where there are too few customers for
    that, `customers.value_model` says so. As of the run, or of the tenant's last transaction where its data ended long
    before. Only rows whose figures changed are written.
    """
    from cdp_platform.customers import value  # noqa: PLC0415 (imports numpy, which no other asset here needs)

    def work(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        watch = progress.of(tenant.tenant_id, "customer_value")
        watch(0, 1)
        result = value.refresh(connection, tenant)
        watch(1, 1)
        models = [
            f"| {model.currency} | {model.customers:,} | {model.repeat_customers:,} | "
            + " | ".join("" if each is None else f"{each:.4g}" for each in model.parameters().values())
            + f" | {model.reason or ''} |"
            for model in result.models
        ]
        header = [
            "| currency | customers | repeat | r | alpha | a | b | p | q | gamma | note |",
            f"|---|{'--:|' * 9}---|",
        ]
        return {
            "dagster/partition_row_count": result.rows,
            "written": result.written,
            "as_of": result.moment.day.isoformat(),
            "data_ended": result.moment.data_ended,
            "models": dg.MetadataValue.md("\n".join([*header, *models]) if models else "none"),
            **({"note": note} if (note := result.note()) else {}),
        }

    return for_each_tenant(context, warehouse, work, unless=unsound)
