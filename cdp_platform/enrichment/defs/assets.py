"""The asset of the room: contacts of paid searches, enriched. Its work is in `enrichment.update`."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import psycopg

from cdp_platform import settings
from cdp_platform.enrichment.defs.resources import ApolloResource
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration import progress
from cdp_platform.orchestration.failures import IO_RETRIES
from cdp_platform.orchestration.metadata import counts, table
from cdp_platform.orchestration.partitions import tenant_partitions
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.tenant_runs import for_each_tenant, partition_keys

GROUP = "enrichment"

# A run for one tenant ends after this time, and the sensor asks for the next one. Tenants of a range share it, so that
# a tenant whose payment comes during a run does not wait for long.
RUN_SECONDS = 300.0
_LEAST_SECONDS = 30.0


@dg.asset(
    key_prefix=GROUP,
    group_name=GROUP,
    owners=["team:customer-data"],
    kinds={"postgres", "apollo"},
    partitions_def=tenant_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    retry_policy=IO_RETRIES,
    metadata=table("enrichment.enriched_contacts"),
)
def enriched_contacts(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, apollo: ApolloResource
) -> dg.MaterializeResult:
    """One row per contact of a search: the fields that came, and those that the provider has beside them.

    Only searches that are paid for are enriched, and no answer is paid for twice.
    """
    from cdp_platform.enrichment import report, update  # noqa: PLC0415 (imports the HTTP client, 0.2 s)

    chosen, web_url = settings.enrichment(), settings.web().cdp_web_url
    seconds = max(_LEAST_SECONDS, RUN_SECONDS / len(partition_keys(context)))

    def work(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        done = update.update(
            warehouse.connect,
            tenant.tenant_id,
            apollo.open,
            chosen,
            seconds=seconds,
            web_url=web_url,
            progress=progress.of(tenant.tenant_id, "contacts"),
        )
        found = report.of_tenant(connection, tenant.tenant_id, chosen)
        ran, settled, asked = done.ran, done.settled, done.asked
        notes = [note for note in (ran.reason, settled.reason, asked.reason) if note]
        return {
            "dagster/partition_row_count": found.contacts,
            "enriched": ran.enriched,
            "no_match": ran.no_match,
            "unusable": ran.unusable,
            "calls": ran.calls,
            "failed_calls": ran.failed,
            "unknown_calls": ran.unknown,
            "credits": float(ran.credits),
            "cost": float(ran.cost),
            "currency": chosen.apollo_credit_currency,
            "credits_today": float(found.credits_today),
            "searches_ready": ran.ready,
            "settled_calls": settled.charged + settled.not_charged + settled.counted,
            "phones_delivered": asked.delivered,
            "phones_pending": asked.pending,
            "profiles": done.profiles,
            "outcomes": counts("outcome", found.outcomes),
            "searches": counts("status", found.statuses),
            **({"note": " ".join(notes)} if notes else {}),
        }

    return for_each_tenant(context, warehouse, work)
