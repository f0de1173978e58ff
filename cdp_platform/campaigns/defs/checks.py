"""Checks of each tenant's segments after each run."""

import dagster as dg
import psycopg

from cdp_platform.campaigns import segments as room
from cdp_platform.campaigns.defs.assets import segments
from cdp_platform.errors import QueryError
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration.tenant_runs import some, tenant_check
from cdp_platform.warehouse.connection import tenant_transaction

# Share of people by rules or membership that both find, below which a person should look.
_LEAST_AGREEMENT = 0.99


@tenant_check(segments, "Rules find the people whom the CDP has in the segment, where both are known.")
def agrees_with_cdp(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
    """Warns below 99 %: the CDP resolves its segments at other times, or a rule means something else."""
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
        description=f"{some(flaws)}. Has the CDP resolved its segments since the last sync? `cdp segment preview` "
        "shows what a rule means here."
        if flaws
        else None,
    )


@tenant_check(segments, "Every segment can be resolved, and the rules of each are computed here.")
def resolvable(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
    """Warns of segments that go by the CDP's membership because their rules cannot be computed, or by nothing."""
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
        description=f"{some(flaws)}. `cdp segment list --tenant {tenant.tenant_id}` says why." if flaws else None,
    )


CHECKS = [agrees_with_cdp, resolvable]
