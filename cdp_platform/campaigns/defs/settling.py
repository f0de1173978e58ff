"""The job that settles deliveries, takes back lost opt-outs, and removes partitions of events that ended long ago."""

from collections import defaultdict
from functools import cache

import dagster as dg
import psycopg

from cdp_platform.campaigns import journal, opt_outs, settle
from cdp_platform.campaigns.defs import partitions as event_partitions
from cdp_platform.campaigns.defs.resources import ChannelsResource
from cdp_platform.ops import tenants
from cdp_platform.orchestration import partitions
from cdp_platform.orchestration.failures import IO_RETRIES, describe, of_several
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

# An event that ended so long ago has no partition any more; its rows stay.
_PARTITION_DAYS = 30


@dg.op(retry_policy=IO_RETRIES)
def settle_deliveries(context: dg.OpExecutionContext, warehouse: WarehouseResource, channels: ChannelsResource) -> None:
    """Take opt-outs that only the journal has, then settle each tenant's deliveries."""
    figures: dict[str, dg.MetadataValue | int] = {}
    failed: dict[str, Exception] = {}
    lines = []
    # The file is read once. A fault in it is a failure of each tenant.
    configured = cache(channels.configured)
    with warehouse.connect() as connection:
        # First of all: nobody who opted out gets anything from a database that has forgotten it.
        if (kept := journal.configured()) is not None:
            replayed = opt_outs.replay(connection, kept)
            figures |= {"opt_outs_taken_back": replayed.taken, "unreadable_lines": replayed.unreadable}
        active = [tenant.tenant_id for tenant in tenants.registered(connection) if tenant.active]
    for tenant_id in active:
        try:
            with warehouse.connect() as connection:
                done = settle.settle(connection, tenant_id, configured().required)
        except Exception as error:
            context.log.error("%s: %s", tenant_id, describe(error))
            failed[tenant_id] = error
            continue
        for name, problem in done.problems.items():
            context.log.warning("%s, channel %s: %s", tenant_id, name, problem)
        if done.vanished or done.confirmed or done.failed or done.left or done.ended:
            lines.append(
                f"| {tenant_id} | {done.vanished:,} | {done.confirmed:,} | {done.failed:,} | {done.left:,} "
                f"| {len(done.ended):,} |"
            )
    with warehouse.connect() as connection:
        figures["partitions_removed"] = _remove_partitions(context.instance, connection)
    head = ["| tenant | vanished | confirmed | failed | still unknown | events ended |", "|---|--:|--:|--:|--:|--:|"]
    figures["settled"] = dg.MetadataValue.md("\n".join([*head, *lines]) if lines else "There was nothing to settle.")
    if failed:
        raise of_several(failed, figures) from None
    context.add_output_metadata(figures)


def _remove_partitions(instance: dg.DagsterInstance, connection: psycopg.Connection) -> int:
    """Remove the partitions of events that ended long ago or are not there, unless a run is at work on them."""
    by_tenant: dict[str, list[str]] = defaultdict(list)
    for key in event_partitions.known(instance):
        tenant_id, event_id = event_partitions.of_key(key)
        by_tenant[tenant_id].append(event_id)
    superfluous = []
    for tenant_id, event_ids in by_tenant.items():
        values = {"tenant": tenant_id, "events": event_ids, "days": _PARTITION_DAYS}
        with tenant_transaction(connection, tenant_id):
            kept = {event_id for (event_id,) in connection.execute(statement("campaigns", "events_to_keep"), values)}
        superfluous += [event_partitions.key_of(tenant_id, each) for each in event_ids if each not in kept]
    removed = partitions.idle(instance, superfluous)
    for key in removed:
        instance.delete_dynamic_partition(event_partitions.EVENTS, key)
    return len(removed)


@dg.job(
    name="campaigns_settle",
    description="Settles messages whose answer was lost, of all tenants: what dispatchers left that vanished, and what "
    "providers say. Takes opt-outs back that a restored backup has forgotten, and ends events that got stuck.",
)
def settle_job() -> None:
    """One step for all tenants."""
    settle_deliveries()


settle_schedule = dg.ScheduleDefinition(
    name="campaigns_settle_schedule",
    job=settle_job,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every 15 minutes.",
)
