"""Does the same work for every partition of a run, so that one failure does not stop the others.

A run covers one partition (a tenant, an ingestor, a tenant's month) or a range of them. Each partition has its own
materialization with its own figures. Partitions that fail are named at the end, after the others are done and recorded.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import psycopg

from cdp_platform.errors import BlockedError
from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration.automation import AFTER_ASSETS
from cdp_platform.orchestration.failures import describe, of_several
from cdp_platform.orchestration.partitions import tenant_partitions
from cdp_platform.orchestration.resources import WarehouseResource

# Named in a description; the rest is counted.
_SHOWN = 5

Work = Callable[[psycopg.Connection, Tenant], Mapping[str, Any]]
"""Does the work for one tenant, on a connection of its own, and returns the metadata of its materialization."""

Examine = Callable[[psycopg.Connection, Tenant], dg.AssetCheckResult]
"""Looks at one tenant's rows."""

Flaw = Callable[[psycopg.Connection, Tenant], str]
"""Says why nothing may be built on a tenant's tables now; '' if they are sound."""

Made = tuple[dg.AssetKey, Mapping[str, Any]]
"""An asset that was made for one partition, and the metadata of its materialization."""


def for_each_tenant(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, work: Work, *, unless: Flaw | None = None
) -> dg.MaterializeResult:
    """Do the work for each partition of the run.

    Args:
        context: of the asset.
        warehouse: where tenants and rows are.
        work: for one tenant.
        unless: `unsound` of the room that the work builds on; a tenant for which it has a reason is left out.

    Raises:
        dg.Failure: the work failed for at least one tenant; names each with what to do. Dagster retries it only if
            every one of these errors may pass by itself.
    """

    def of_tenant(tenant_id: str) -> Iterator[Made]:
        with warehouse.connect() as connection:
            tenant = tenants.get(connection, tenant_id)
            if not tenant.active:
                # A range of partitions may include a tenant that was retired after it was requested.
                yield context.asset_key, {"skipped": "the tenant is retired"}
                return
            if unless is not None and (flaw := unless(connection, tenant)):
                raise BlockedError(f"Not computed, because a blocking check fails: {flaw}")
            yield context.asset_key, work(connection, tenant)

    (result,) = for_each_partition(context, of_tenant)
    return result


def for_each_partition(
    context: dg.AssetExecutionContext, work: Callable[[str], Iterator[Made]]
) -> list[dg.MaterializeResult]:
    """Do the work for each partition of the run, for all assets that the step makes.

    Args:
        context: of the asset, or of several that one step makes.
        work: for one partition; yields each of its assets when that is done, in the order of their dependencies.

    Returns:
        One result per asset that was made, in that order.

    Raises:
        dg.Failure: as `for_each_tenant`.
    """
    metadata: dict[dg.AssetKey, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    failed: dict[str, Exception] = {}
    for key in partition_keys(context):
        started = time.monotonic()
        try:
            for asset, outcome in work(key):
                metadata[asset][key] = {"seconds": round(time.monotonic() - started, 3), **outcome}
                started = time.monotonic()
        except Exception as error:
            context.log.error("%s: %s", key, describe(error))
            failed[key] = error
    if failed:
        _raise(context, metadata, failed)
    if context.has_partition_key:
        # Dagster adds the partition by itself; if we named it, Dagster would query its database for it once more.
        return [
            dg.MaterializeResult(asset_key=asset, metadata=of[context.partition_key]) for asset, of in metadata.items()
        ]
    for asset, outcomes in metadata.items():
        for key, outcome in outcomes.items():
            context.add_asset_metadata(outcome, asset_key=asset, partition_key=key)
    return [dg.MaterializeResult(asset_key=asset) for asset in metadata]


def partition_keys(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Sequence[str]:
    """The partitions of the run."""
    # `partition_keys` of a run for one partition would query Dagster's database, over four connections, for that
    # partition.
    return [context.partition_key] if context.has_partition_key else context.partition_keys


def _raise(
    context: dg.AssetExecutionContext,
    metadata: Mapping[dg.AssetKey, Mapping[str, Mapping[str, Any]]],
    failed: Mapping[str, Exception],
) -> None:
    # The step fails as a whole, but the rows of these partitions are committed. Without their events, the assets made
    # of them would wait for a run in which no partition fails. Events that a step logs are lost when it raises, so
    # report them here.
    for asset, outcomes in metadata.items():
        for key, outcome in outcomes.items():
            context.instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    asset_key=asset,
                    partition=key,
                    metadata={**outcome, "run": dg.MetadataValue.dagster_run(context.run.run_id)},
                )
            )
    succeeded = [key for key in partition_keys(context) if key not in failed]
    raise of_several(failed, {"failed": ", ".join(failed), "succeeded": ", ".join(succeeded)}) from None


def tenant_check(
    asset: dg.AssetsDefinition | dg.AssetKey,
    description: str,
    *,
    name: str | None = None,
    blocking: bool = False,
    deps: Sequence[dg.AssetsDefinition] = (),
) -> Callable[[Examine], dg.AssetChecksDefinition]:
    """Make the check that examines each tenant of a run by itself, of the function that examines one.

    Args:
        asset: that is checked.
        description: for the UI.
        name: the function's own if not given.
        blocking: nothing is built on the asset while the check fails. Others come after all assets of a run.
        deps: other assets that it reads.
    """

    def made(examine: Examine) -> dg.AssetChecksDefinition:
        @dg.asset_check(
            op_tags={} if blocking else AFTER_ASSETS,
            asset=asset,
            # A partial function has no name, and is given one.
            name=name or getattr(examine, "__name__", None),
            blocking=blocking,
            partitions_def=tenant_partitions,
            description=description,
            additional_deps=deps,
        )
        def check(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
            return check_each_tenant(context, warehouse, examine)

        return check

    return made


def some(flaws: Sequence[str]) -> str:
    """The first of these as words of a description, and how many more there are."""
    more = len(flaws) - _SHOWN
    return "; ".join(flaws[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def check_each_tenant(
    context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource, examine: Examine
) -> dg.AssetCheckResult:
    """Examine the rows of each tenant of the run; see `check_each_partition`."""
    with warehouse.connect() as connection:
        return check_each_partition(context, lambda tenant_id: examine(connection, tenants.get(connection, tenant_id)))


def check_each_partition(
    context: dg.AssetCheckExecutionContext, examine: Callable[[str], dg.AssetCheckResult]
) -> dg.AssetCheckResult:
    """Examine each partition of the run; each has its own evaluation.

    The result of the run is an error only if it is an error for every partition: it blocks the following assets for all
    of them, while `for_each_tenant` leaves out only the tenants concerned.
    """
    results = {key: examine(key) for key in partition_keys(context)}
    (spec,) = context.check_specs
    if context.has_partition_key:
        # A run for one partition and not for a range of one: Dagster adds the partition by itself.
        (result,) = results.values()
        return _named(result, spec)
    for key, result in results.items():
        context.op_execution_context.log_event(
            # log_event accepts it at run time and stores it per partition; only its annotation does not say so.
            dg.AssetCheckEvaluation(  # ty: ignore[invalid-argument-type]
                asset_key=spec.asset_key,
                check_name=spec.name,
                passed=result.passed,
                metadata=result.metadata,
                severity=result.severity,
                description=result.description,
                blocking=spec.blocking,
                partition=key,
            )
        )
    flaws = {key: result for key, result in results.items() if not result.passed}
    errors = [result for result in flaws.values() if result.severity == dg.AssetCheckSeverity.ERROR]
    severity = dg.AssetCheckSeverity.ERROR if len(errors) == len(results) else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        passed=not flaws,
        asset_key=spec.asset_key,
        check_name=spec.name,
        severity=severity,
        description=f"{len(flaws)} of {len(results)}: {', '.join(flaws)}" if flaws else None,
        metadata={"examined": len(results), "flawed": len(flaws)},
    )


def _named(result: dg.AssetCheckResult, spec: dg.AssetCheckSpec) -> dg.AssetCheckResult:
    """The result with the name of its check. Without it, Dagster queries its database once more for the name."""
    return dg.AssetCheckResult(
        passed=result.passed,
        asset_key=spec.asset_key,
        check_name=spec.name,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
    )
