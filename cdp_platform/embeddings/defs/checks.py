"""Checks of the room, per tenant after each run."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg

from cdp_platform.embeddings import jobs
from cdp_platform.embeddings.defs.assets import EMBEDDINGS
from cdp_platform.embeddings.kinds import Kind
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration.tenant_runs import tenant_check
from cdp_platform.warehouse.connection import tenant_transaction

# Longer than a run, and than usual waits that a provider asks for.
LATE = timedelta(hours=1)


def _in_step_with_texts(kind: Kind, asset: dg.AssetsDefinition) -> dg.AssetChecksDefinition:
    @tenant_check(asset, f"No {kind} was refused by the provider, and none waits for its vector for more than an hour.")
    def in_step_with_texts(connection: psycopg.Connection, tenant: Tenant) -> dg.AssetCheckResult:
        with tenant_transaction(connection, tenant.tenant_id):
            counts = jobs.counts(connection, tenant.tenant_id, kind)
            since = jobs.oldest_waiting(connection, tenant.tenant_id, kind)
        age = datetime.now(UTC) - since if since else timedelta()
        refused = counts.get("failed", 0) + counts.get("dead", 0)
        late = age > LATE
        flaws = [f"{refused} texts were refused"] if refused else []
        flaws += [f"the first in the queue has waited for {age.total_seconds() / 3600:.1f} hours"] if late else []
        return dg.AssetCheckResult(
            passed=not flaws,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={f"texts_{status}": count for status, count in counts.items()},
            description=f"{'; '.join(flaws)}: `cdp embeddings status --tenant {tenant.tenant_id}` says why."
            if flaws
            else None,
        )

    return in_step_with_texts


CHECKS = [_in_step_with_texts(kind, asset) for kind, asset in EMBEDDINGS.items()]
