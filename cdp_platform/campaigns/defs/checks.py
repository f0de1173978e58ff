"""Checks of each tenant's segments after each run."""

import dagster as dg
import psycopg

from cdp_platform.campaigns import segments as room
from cdp_platform.campaigns.defs.assets import segments
from cdp_platform.errors import QueryError
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration.automation import AFTER_ASSETS
from cdp_platform.orchestration.partitions import tenant_partitions
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.tenant_runs import check_each_tenant
from cdp_platform.warehouse.connection import tenant_transaction

# Share of people by rules or membership that both find, below which a person should look.
_LEAST_AGREEMENT = 0.99
# Names in a description; the rest is counted.
_SHOWN = 5


@dg.asset_check(
    op_tags=AFTER_ASSETS,
    asset=segments,
    partitions_def=tenant_partitions,
    description="Rules find the people whom the CDP has in the segment, where both are known.",
)
def agrees_with_cdp(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Warns below 99 %: the CDP resolves its segments at other times, or a rule means something else."""

    def examine(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
        found = room.agreement(connection, tenant.tenant_id)
        flaws = [
            f"{each.segment_id} {each.share:.1%} ({each.computed:,} by rules, {each.members:,} in the CDP)"
            for each in found
            if each.share < _LEAST_AGREEMENT
        ]
        return dg.AssetCheckResult(
            passed=not flaws,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"compared": len(found)},
            description=f"{_some(flaws)}. Has the CDP resolved its segments since the last sync? `cdp segment preview` "
            "shows what a rule means here."
            if flaws
            else None,
        )

    return check_each_tenant(context, warehouse, examine)


@dg.asset_check(
    op_tags=AFTER_ASSETS,
    asset=segments,
    partitions_def=tenant_partitions,
    description="Every segment can be resolved, and the rules of each are computed here.",
)
def resolvable(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
    """Warns of segments that go by the CDP's membership because their rules cannot be computed, or by nothing."""

    def examine(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
        flaws = []
        with tenant_transaction(connection, tenant.tenant_id):
            for each in room.listed(connection, tenant.tenant_id):
                if each.retired:
                    continue
                if each.problem:
                    flaws.append(f"{each.segment_id} goes by the CDP's membership")
                    continue
                try:
                    room.people(connection, tenant.tenant_id, each.segment_id)
                except QueryError:
                    flaws.append(f"{each.segment_id} cannot be resolved")
        return dg.AssetCheckResult(
            passed=not flaws,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{_some(flaws)}. `cdp segment list --tenant {tenant.tenant_id}` says why." if flaws else None,
        )

    return check_each_tenant(context, warehouse, examine)


def _some(flaws: list[str]) -> str:
    more = len(flaws) - _SHOWN
    return "; ".join(flaws[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


CHECKS = [agrees_with_cdp, resolvable]
