"""Checks of the room's tables. Each check is asked for each tenant after each run.

A check that stops what follows is `blocking`; the others tell a person. Staleness is asked for all tenants at once by
an hourly schedule, because it looks for tenants that no run reaches any more.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg
import psycopg

from cdp_platform.customers import looks, metrics, profiles, segments, soundness, transactions
from cdp_platform.customers.defs.assets import (
    cdp_profiles,
    cdp_segments,
    customer_metrics,
    customer_value,
    transaction_lines,
)
from cdp_platform.customers.reconcile import last
from cdp_platform.customers.soundness import STALE_ERROR, STALE_WARN
from cdp_platform.customers.source import with_database
from cdp_platform.customers.updated_at import undated_words
from cdp_platform.ops import rejected, tenants, watermark
from cdp_platform.ops.tenants import Tenant
from cdp_platform.ops.watermark import SyncState
from cdp_platform.orchestration.automation import AFTER_ASSETS
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.tenant_runs import tenant_check
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.load import Target
from cdp_platform.warehouse.statements import statement

# Any rejected document is worth a look; one in a hundred means that the mapping or the source is broken.
REJECTED_SHARE_ERROR = 0.01


def _keys_unique(target: Target, connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
    flaw = soundness.keys_flaw(connection, tenant, target)
    return dg.AssetCheckResult(passed=not flaw, description=flaw or None)


def _state(connection: psycopg.Connection, tenant: Tenant, collection: str) -> SyncState | None:
    with tenant_transaction(connection, tenant.tenant_id):
        states = watermark.states(connection, tenant.tenant_id)
    return next((state for state in states if state.source == collection), None)


def _rejected_share(collection: str, connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
    with tenant_transaction(connection, tenant.tenant_id):
        waiting = rejected.count_waiting(connection, tenant.tenant_id, collection)
    state = _state(connection, tenant, collection)
    share = waiting / max(state.source_count or 0 if state else 0, waiting, 1)
    words = f"{waiting} documents of {tenant.name} wait: `cdp rejected list --tenant {tenant.tenant_id}` says why."
    return dg.AssetCheckResult(
        passed=waiting == 0,
        severity=dg.AssetCheckSeverity.ERROR if share >= REJECTED_SHARE_ERROR else dg.AssetCheckSeverity.WARN,
        metadata={"rejected_waiting": waiting, "share": share},
        description=words if waiting else None,
    )


def _in_step_with_source(collection: str, connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
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
    elif found.miscounted:
        words = (
            f"The counter of rows was wrong by {found.miscounted:,} and was corrected: did somebody write without the "
            "triggers, as a restore or TRUNCATE does?"
        )
    return dg.AssetCheckResult(
        passed=words is None,
        metadata={
            "source_count": found.source_count,
            "target_count": found.target_count,
            "gone": found.gone,
            "miscounted": found.miscounted,
        },
        description=words,
    )


def _documents_dated(collection: str, connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
    state = _state(connection, tenant, collection)
    undated = (state.undated_count or 0) if state else 0
    return dg.AssetCheckResult(
        passed=not undated,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"undated": undated},
        description=undated_words(collection, undated, state.source_count or 0) if undated and state else None,
    )


def _as_computed(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
    compared, differing = metrics.audit(connection, tenant.tenant_id)
    words = f"{differing} of {compared} rows differ: `cdp sync --tenant {tenant.tenant_id} --full` mends them."
    return dg.AssetCheckResult(
        passed=not differing,
        metadata={"compared": compared, "differing": differing},
        description=words if differing else None,
    )


def _none_found(name: str, connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
    """Warn if the query of this name counts any row; it also counts the rows that it looked at."""
    with tenant_transaction(connection, tenant.tenant_id):
        row = connection.execute(statement("customers", name), {"tenant": tenant.tenant_id}).fetchone()
    found, rows = row or (0, 0)
    return dg.AssetCheckResult(
        passed=found == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"found": found, "rows": rows},
        description=f"{found:,} of {rows:,} rows of {tenant.name}" if found else None,
    )


def _none_of(
    asset: dg.AssetsDefinition, name: str, description: str, *, deps: Sequence[dg.AssetsDefinition] = ()
) -> dg.AssetChecksDefinition:
    return tenant_check(asset, description, name=name, deps=deps)(partial(_none_found, name))


def _of_collection(asset: dg.AssetsDefinition, target: Target, collection: str) -> list[dg.AssetChecksDefinition]:
    """The checks of a table that is read from a collection."""
    return [
        tenant_check(
            asset,
            f"Each {target.key} stands once and is not empty. Blocks what follows.",
            name="keys_unique",
            blocking=True,
        )(partial(_keys_unique, target)),
        tenant_check(
            asset,
            f"No document of {collection} waits rejected: WARN for any, ERROR from {REJECTED_SHARE_ERROR:.0%} of the "
            "source.",
            name="rejected_share",
        )(partial(_rejected_share, collection)),
        tenant_check(
            asset,
            f"The last comparison of all keys of {collection} left the same keys on both sides and found the counter "
            "right.",
            name="in_step_with_source",
        )(partial(_in_step_with_source, collection)),
        tenant_check(
            asset,
            f"Every document of {collection} has an updatedAt that is a moment and not in the future. Others are read "
            "again by every sync.",
            name="documents_dated",
        )(partial(_documents_dated, collection)),
    ]


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
                state = _state(connection, tenant, collection)
                last = state.last_success_at if state else None
                ages[tenant.tenant_id] = now - last if last else None
        stale = {tenant: age for tenant, age in ages.items() if age is None or age > STALE_WARN}
        severe = any(age is None or age > STALE_ERROR for age in stale.values())
        return dg.AssetCheckResult(
            passed=not stale,
            # Named, because otherwise Dagster queries its database once more for the name.
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


@dg.asset_check(
    op_tags=AFTER_ASSETS,
    asset=cdp_profiles,
    name="looked_at",
    description="The sensor `arango_changes` has looked at every active tenant's database in the last two minutes.",
)
def looked_at(warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Find the oldest look."""
    with warehouse.connect() as connection:
        ages = looks.ages(connection)
    words = looks.flaw(ages)
    return dg.AssetCheckResult(
        passed=not words,
        asset_key=cdp_profiles.key,
        check_name="looked_at",
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"tenants": len(ages), "oldest_look_seconds": ages[0].age_seconds if ages else 0.0},
        description=words or None,
    )


# About all tenants at once.
STALENESS = [
    _staleness(cdp_profiles, profiles.COLLECTION),
    _staleness(transaction_lines, transactions.COLLECTION),
    looked_at,
]

CHECKS = [
    *_of_collection(cdp_profiles, profiles.TARGET, profiles.COLLECTION),
    *_of_collection(transaction_lines, transactions.TARGET, transactions.COLLECTION),
    *_of_collection(cdp_segments, segments.TARGET, segments.COLLECTION),
    tenant_check(
        customer_metrics,
        "A random sample of customers, computed anew, has the figures that are stored.",
        name="as_computed",
    )(_as_computed),
    _none_of(
        transaction_lines,
        "transactions_without_profile",
        "Every transaction's profile is there. Expected to fail while a profile waits rejected.",
        deps=[cdp_profiles],
    ),
    _none_of(
        transaction_lines,
        "amounts_without_currency",
        "Every amount has a currency. Without one it is counted under XXX and added to no other.",
    ),
    _none_of(
        customer_metrics,
        "amounts_configured",
        "Each currency that customers buy in has an acquisition cost and a threshold, in "
        "customers.tenant_metrics_config or by default (USD). Without them clv_est is before costs, and nobody is "
        "happy or first_time.",
    ),
    _none_of(customer_value, "adds_up", "The spend of each currency is the sum of its transactions, to the cent."),
    *STALENESS,
]
