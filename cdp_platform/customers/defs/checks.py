"""What has to hold of the room's tables, asked per tenant after each run.

A check that stops what follows is `blocking`; the others tell a person. Staleness is asked of all tenants at once by an
hourly schedule, because a tenant that no run reaches any more is just what it looks for.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg
import psycopg
from psycopg import sql

from cdp_platform.customers import metrics, profiles, transactions
from cdp_platform.customers.defs.assets import cdp_profiles, customer_metrics, customer_value, transaction_lines
from cdp_platform.customers.defs.quality import count, examine_keys
from cdp_platform.customers.reconcile import last
from cdp_platform.customers.source import with_database
from cdp_platform.customers.updated_at import undated_words
from cdp_platform.ops import rejected, tenants, watermark
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration.automation import AFTER_ASSETS
from cdp_platform.orchestration.partitions import tenant_partitions
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.tenant_runs import check_each_tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.load import Target

# Any rejected document is worth a look; one in a hundred means that the mapping or the source is broken.
REJECTED_SHARE_ERROR = 0.01

# Four runs of the 15-minute schedule were missed; then a day of data.
STALE_WARN = timedelta(hours=1)
STALE_ERROR = timedelta(hours=24)


def _keys_unique(asset: dg.AssetsDefinition, target: Target) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name="keys_unique",
        blocking=True,
        partitions_def=tenant_partitions,
        description=f"Each {target.key} stands once and is not empty. Blocks what follows.",
    )
    def keys_unique(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
        return check_each_tenant(context, warehouse, partial(examine_keys, target))

    return keys_unique


def _rejected_share(asset: dg.AssetsDefinition, collection: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        op_tags=AFTER_ASSETS,
        asset=asset,
        name="rejected_share",
        partitions_def=tenant_partitions,
        description=f"No document of {collection} waits rejected: WARN for any, ERROR from "
        f"{REJECTED_SHARE_ERROR:.0%} of the source.",
    )
    def rejected_share(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
        def examine(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
            with tenant_transaction(connection, tenant.tenant_id):
                waiting = rejected.count_waiting(connection, tenant.tenant_id, collection)
                known = {state.source: state for state in watermark.states(connection, tenant.tenant_id)}
            state = known.get(collection)
            share = waiting / max(state.source_count or 0 if state else 0, waiting, 1)
            severe = share >= REJECTED_SHARE_ERROR
            return dg.AssetCheckResult(
                passed=waiting == 0,
                severity=dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
                metadata={"rejected_waiting": waiting, "share": share},
                description=f"{waiting} documents of {tenant.name} wait: "
                f"`cdp rejected list --tenant {tenant.tenant_id}` says why."
                if waiting
                else None,
            )

        return check_each_tenant(context, warehouse, examine)

    return rejected_share


def _in_step(asset: dg.AssetsDefinition, collection: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        op_tags=AFTER_ASSETS,
        asset=asset,
        name="in_step_with_source",
        partitions_def=tenant_partitions,
        description=f"The last comparison of all keys of {collection} left the same keys on both sides.",
    )
    def in_step_with_source(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource
    ) -> dg.AssetCheckResult:
        def examine(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
            found = last(connection, tenant, collection)
            if found is None:
                return dg.AssetCheckResult(passed=True, description="Not compared yet: that is done every night.")
            words = None
            if found.stopped:
                words = (
                    f"{found.gone:,} of {found.target_count:,} documents are gone from {collection}, and nothing was "
                    f"deleted: look at the source, then `cdp reconcile --tenant {tenant.tenant_id} --approve`."
                )
            elif found.source_checksum != found.target_checksum:
                words = f"{collection} has {found.source_count:,} documents, {found.target_count:,} of them are here."
            return dg.AssetCheckResult(
                passed=words is None,
                metadata={"source_count": found.source_count, "target_count": found.target_count, "gone": found.gone},
                description=words,
            )

        return check_each_tenant(context, warehouse, examine)

    return in_step_with_source


def _dated(asset: dg.AssetsDefinition, collection: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        op_tags=AFTER_ASSETS,
        asset=asset,
        name="documents_dated",
        partitions_def=tenant_partitions,
        description=f"Every document of {collection} has an updatedAt that is a moment and not in the future. Others "
        "are read again by every sync.",
    )
    def documents_dated(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
        def examine(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
            with tenant_transaction(connection, tenant.tenant_id):
                known = {state.source: state for state in watermark.states(connection, tenant.tenant_id)}
            state = known.get(collection)
            undated = (state.undated_count or 0) if state else 0
            return dg.AssetCheckResult(
                passed=not undated,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"undated": undated},
                description=undated_words(collection, undated, state.source_count or 0) if undated and state else None,
            )

        return check_each_tenant(context, warehouse, examine)

    return documents_dated


def _as_computed() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        op_tags=AFTER_ASSETS,
        asset=customer_metrics,
        name="as_computed",
        partitions_def=tenant_partitions,
        description="A random sample of customers, computed anew, has the figures that are stored.",
    )
    def as_computed(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
        def examine(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
            compared, differing = metrics.audit(connection, tenant.tenant_id)
            words = f"{differing} of {compared} rows differ: `cdp sync --tenant {tenant.tenant_id} --full` mends them."
            return dg.AssetCheckResult(
                passed=not differing,
                metadata={"compared": compared, "differing": differing},
                description=words if differing else None,
            )

        return check_each_tenant(context, warehouse, examine)

    return as_computed


def _none_of(
    asset: dg.AssetsDefinition, name: str, description: str, query: str, *, deps: Sequence[dg.AssetsDefinition] = ()
) -> dg.AssetChecksDefinition:
    """A check that warns when a query counts anything; the query also counts the rows in question."""

    @dg.asset_check(
        op_tags=AFTER_ASSETS,
        asset=asset,
        name=name,
        partitions_def=tenant_partitions,
        description=description,
        additional_deps=deps,
    )
    def none_of(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
        def examine(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
            found, rows = count(connection, tenant, sql.SQL(query))  # ty: ignore[invalid-argument-type]
            return dg.AssetCheckResult(
                passed=found == 0,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"found": found, "rows": rows},
                description=f"{found:,} of {rows:,} rows of {tenant.name}" if found else None,
            )

        return check_each_tenant(context, warehouse, examine)

    return none_of


def _staleness(asset: dg.AssetsDefinition, collection: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        op_tags=AFTER_ASSETS,
        asset=asset,
        name="staleness",
        description="Every active tenant's source was read to its end lately: WARN after one hour, ERROR after a day.",
    )
    def staleness(warehouse: WarehouseResource) -> dg.AssetCheckResult:
        now = datetime.now(UTC)
        ages: dict[str, timedelta | None] = {}
        with warehouse.connect() as connection:
            for tenant in with_database(tenants.registered(connection)):
                with tenant_transaction(connection, tenant.tenant_id):
                    states = watermark.states(connection, tenant.tenant_id)
                last = next((state.last_success_at for state in states if state.source == collection), None)
                ages[tenant.tenant_id] = now - last if last else None
        stale = {tenant: age for tenant, age in ages.items() if age is None or age > STALE_WARN}
        severe = any(age is None or age > STALE_ERROR for age in stale.values())
        return dg.AssetCheckResult(
            passed=not stale,
            # Named, or Dagster finds the name by a second look at its database.
            asset_key=asset.key,
            check_name="staleness",
            severity=dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
            metadata={"tenants": len(ages), "stale": len(stale)},
            description="; ".join(
                f"{tenant}: {'never read' if age is None else f'last read {age.total_seconds() / 3600:.1f} h ago'}"
                for tenant, age in stale.items()
            )
            or None,
        )

    return staleness


STALENESS = [_staleness(cdp_profiles, profiles.COLLECTION), _staleness(transaction_lines, transactions.COLLECTION)]

CHECKS = [
    _keys_unique(cdp_profiles, profiles.TARGET),
    _keys_unique(transaction_lines, transactions.TARGET),
    _rejected_share(cdp_profiles, profiles.COLLECTION),
    _rejected_share(transaction_lines, transactions.COLLECTION),
    _in_step(cdp_profiles, profiles.COLLECTION),
    _in_step(transaction_lines, transactions.COLLECTION),
    _dated(cdp_profiles, profiles.COLLECTION),
    _dated(transaction_lines, transactions.COLLECTION),
    _as_computed(),
    _none_of(
        transaction_lines,
        "transactions_without_profile",
        "Every transaction's profile is there. Expected to fail while a profile waits rejected.",
        """
        SELECT count(*) FILTER (WHERE p.profile_id IS NULL), count(*)
        FROM customers.transactions AS t LEFT JOIN customers.cdp_profiles AS p USING (tenant_id, profile_id)
        WHERE t.tenant_id = %(tenant)s AND t.closed_at IS NULL
        """,
        deps=[cdp_profiles],
    ),
    _none_of(
        transaction_lines,
        "amounts_without_currency",
        "Every amount has a currency. Without one it is counted under XXX and added to no other.",
        """
        SELECT count(*) FILTER (WHERE amount <> 0 AND currency IS NULL), count(*)
        FROM customers.transactions WHERE tenant_id = %(tenant)s AND closed_at IS NULL
        """,
    ),
    _none_of(
        customer_metrics,
        "amounts_configured",
        "Each currency that customers buy in has an acquisition cost and a threshold, in "
        "customers.tenant_metrics_config or by default (USD). Without them clv_est is before costs, and nobody is "
        "happy or first_time.",
        """
        SELECT count(*) FILTER (
            WHERE m.currency <> 'USD' AND (
                coalesce(own.cac, everywhere.cac) IS NULL
                OR coalesce(own.clv_happy_threshold, everywhere.clv_happy_threshold) IS NULL)), count(*)
        FROM customers.customer_metrics AS m
        LEFT JOIN customers.tenant_metrics_config AS own USING (tenant_id, currency)
        LEFT JOIN customers.tenant_metrics_config AS everywhere
            ON everywhere.tenant_id = m.tenant_id AND everywhere.currency = '*'
        WHERE m.tenant_id = %(tenant)s AND m.currency <> 'XXX'
        """,
    ),
    _none_of(
        customer_value,
        "adds_up",
        "The spend of each currency is the sum of its transactions, to the cent.",
        """
        SELECT count(*) FILTER (WHERE stored.spend IS DISTINCT FROM source.spend), count(*)
        FROM (
            SELECT currency, sum(spend) AS spend FROM customers.customer_value
            WHERE tenant_id = %(tenant)s AND currency <> 'XXX' GROUP BY currency
        ) AS stored
        FULL JOIN (
            SELECT t.currency, coalesce(sum(t.amount), 0) AS spend
            FROM customers.transactions AS t JOIN customers.cdp_profiles AS p USING (tenant_id, profile_id)
            LEFT JOIN customers.value_model AS m USING (tenant_id, currency)
            WHERE t.tenant_id = %(tenant)s AND t.currency IS NOT NULL AND t.closed_at IS NULL AND p.closed_at IS NULL
              AND (t.occurred_at <= m.computed_at) IS NOT FALSE
            GROUP BY t.currency
        ) AS source USING (currency)
        """,
    ),
    *STALENESS,
]
