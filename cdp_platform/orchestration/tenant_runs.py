"""Doing the same for every tenant of a run, so that one tenant's trouble stays its own.

A run covers one partition or a range of them. Each tenant gets its own figures on its own materialization; a tenant
that fails is named at the end, after the others are done and recorded.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
import psycopg

from cdp_platform.errors import BlockedError
from cdp_platform.orchestration.failures import describe, is_transient
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.warehouse import tenants
from cdp_platform.warehouse.tenants import Tenant

Work = Callable[[psycopg.Connection, Tenant], Mapping[str, Any]]
"""Does one tenant's share, on a connection of its own, and returns the metadata of its materialization."""

Examine = Callable[[psycopg.Connection, Tenant], dg.AssetCheckResult]
"""Looks at one tenant's rows."""


def for_each_tenant(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, work: Work, *, only_if: Iterable[Examine] = ()
) -> dg.MaterializeResult:
    """Do the work for each partition of the run.

    Args:
        context: of the asset.
        warehouse: where tenants and rows are.
        work: for one tenant.
        only_if: blocking checks of what the work builds on, asked again for each tenant.

    Raises:
        dg.Failure: the work failed for at least one tenant; names each with what to do. Retried only if all that
            failed may pass by itself.
    """
    metadata: dict[str, Mapping[str, Any]] = {}
    failed: dict[str, Exception] = {}
    for tenant_id in tenant_ids(context):
        started = time.monotonic()
        try:
            with warehouse.connect() as connection:
                tenant = tenants.get(connection, tenant_id)
                if not tenant.active:
                    # A range of partitions may span a tenant that was retired meanwhile.
                    outcome: Mapping[str, Any] = {"skipped": "the tenant is retired"}
                else:
                    for examine in only_if:
                        _require(examine(connection, tenant))
                    outcome = work(connection, tenant)
        except Exception as error:
            context.log.error("%s: %s", tenant_id, describe(error))
            failed[tenant_id] = error
        else:
            metadata[tenant_id] = {"seconds": round(time.monotonic() - started, 3), **outcome}
    if failed:
        _raise(context, metadata, failed)
    if context.has_partition_key:
        # Dagster notes the partition by itself, and for a named one asks its database again whether it is there.
        return dg.MaterializeResult(metadata=metadata[context.partition_key])
    for tenant_id, outcome in metadata.items():
        context.add_asset_metadata(outcome, partition_key=tenant_id)
    return dg.MaterializeResult()


def tenant_ids(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Sequence[str]:
    """The partitions of the run."""
    # Of a run for one partition Dagster would ask its database, over four connections, whether the partition is there.
    return [context.partition_key] if context.has_partition_key else context.partition_keys


def _require(result: dg.AssetCheckResult) -> None:
    if not result.passed:
        raise BlockedError(f"Not computed, because a blocking check fails: {result.description}")


def _raise(
    context: dg.AssetExecutionContext, metadata: Mapping[str, Mapping[str, Any]], failed: Mapping[str, Exception]
) -> None:
    # The step fails as a whole, but these tenants' rows are committed: without their events, what depends on them
    # would wait for a run in which every tenant is well. Events that a step logs are lost when it raises.
    for tenant_id, outcome in metadata.items():
        context.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key=context.asset_key,
                partition=tenant_id,
                metadata={**outcome, "run": dg.MetadataValue.dagster_run(context.run.run_id)},
            )
        )
    # From None: the messages of what was caught may quote a customer, and the event log keeps them for ever.
    raise dg.Failure(
        description="; ".join(f"{tenant_id}: {describe(error)}" for tenant_id, error in failed.items()),
        metadata={"failed_tenants": ", ".join(failed), "succeeded_tenants": ", ".join(metadata)},
        allow_retries=all(map(is_transient, failed.values())),
    ) from None


def check_each_tenant(
    context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource, examine: Examine
) -> dg.AssetCheckResult:
    """Examine each partition of the run; each tenant gets its own evaluation.

    The result for the run is an error only if every tenant's is: it would block what follows for all of them, while
    `for_each_tenant` leaves out just those that it concerns.
    """
    results: dict[str, dg.AssetCheckResult] = {}
    with warehouse.connect() as connection:
        for tenant_id in tenant_ids(context):
            results[tenant_id] = examine(connection, tenants.get(connection, tenant_id))
    (spec,) = context.check_specs
    if context.has_partition_key:
        # Not a range, which may have one tenant too: Dagster notes the partition by itself.
        (result,) = results.values()
        return _named(result, spec)
    for tenant_id, result in results.items():
        context.op_execution_context.log_event(
            # Taken at run time and kept per partition; only the annotation of log_event does not name it.
            dg.AssetCheckEvaluation(  # ty: ignore[invalid-argument-type]
                asset_key=spec.asset_key,
                check_name=spec.name,
                passed=result.passed,
                metadata=result.metadata,
                severity=result.severity,
                description=result.description,
                blocking=spec.blocking,
                partition=tenant_id,
            )
        )
    flaws = {tenant_id: result for tenant_id, result in results.items() if not result.passed}
    errors = [result for result in flaws.values() if result.severity == dg.AssetCheckSeverity.ERROR]
    severity = dg.AssetCheckSeverity.ERROR if len(errors) == len(results) else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        passed=not flaws,
        asset_key=spec.asset_key,
        check_name=spec.name,
        severity=severity,
        description=f"{len(flaws)} of {len(results)} tenants: {', '.join(flaws)}" if flaws else None,
        metadata={"tenants": len(results), "failed_tenants": len(flaws)},
    )


def _named(result: dg.AssetCheckResult, spec: dg.AssetCheckSpec) -> dg.AssetCheckResult:
    """The result with the name of its check. Without one, Dagster finds the name by a second look at its database."""
    return dg.AssetCheckResult(
        passed=result.passed,
        asset_key=spec.asset_key,
        check_name=spec.name,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
    )
