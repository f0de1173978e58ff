"""The assets of the room that are made by tenant: segments, consent and the effect of events.

The work itself is in the plain modules of the room.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import dagster as dg
import psycopg

from cdp_platform.campaigns import consent as consents
from cdp_platform.campaigns import effect as effects
from cdp_platform.campaigns import segments as room
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration.automation import follow_upstream
from cdp_platform.orchestration.failures import IO_RETRIES
from cdp_platform.orchestration.metadata import counts, table
from cdp_platform.orchestration.partitions import tenant_partitions
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.tenant_runs import for_each_tenant
from cdp_platform.warehouse.connection import tenant_transaction

GROUP = "campaigns"

ROOM: dict[str, Any] = {
    "key_prefix": GROUP,
    "group_name": GROUP,
    "owners": ["team:customer-data"],
    "kinds": {"postgres"},
    "backfill_policy": dg.BackfillPolicy.single_run(),
    "retry_policy": IO_RETRIES,
}


@dg.asset(
    **ROOM,
    partitions_def=tenant_partitions,
    deps=[dg.AssetKey(["customers", "cdp_segments"])],
    automation_condition=follow_upstream(),
    metadata=table("campaigns.segment"),
)
def segments(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """One row per segment and version: its rules as LEO CDP writes them, or whom the CDP has in it.

    A segment whose rules cannot be computed here goes by the CDP's membership, and says why. Segments of files are
    versions of the same table.
    """

    def work(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        found = room.refresh(connection, tenant)
        with tenant_transaction(connection, tenant.tenant_id):
            listed = [each for each in room.listed(connection, tenant.tenant_id) if not each.retired]
        kinds = Counter[str](each.kind for each in listed)
        return {
            "dagster/partition_row_count": len(listed),
            "kinds": counts("kind", kinds),
            "new_versions": found.written,
            "retired": found.retired,
            "left_out": found.left_out,
        }

    return for_each_tenant(context, warehouse, work)


@dg.asset(
    **ROOM,
    partitions_def=tenant_partitions,
    metadata=table("campaigns.consent_management"),
)
def consent(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """One row per person and channel: the consent that holds now.

    People, files and the web app write it at any time, and no sync overwrites it. A run only counts its rows.
    """

    def work(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        with tenant_transaction(connection, tenant.tenant_id):
            found = consents.counts(connection, tenant.tenant_id)
        return {
            "dagster/partition_row_count": sum(sum(states.values()) for states in found.held.values()),
            "states": counts("channel: state", _named(found.held)),
            "cdp": counts("channel: the CDP says", _named(found.cdp)),
            "suppressed": counts("channel: reason", _named(found.suppressed)),
        }

    return for_each_tenant(context, warehouse, work)


@dg.asset(
    **ROOM,
    partitions_def=tenant_partitions,
    deps=[dg.AssetKey(["customers", "transactions"])],
    metadata=table("campaigns.effect"),
)
def effect(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """One row per event, kind of holdout and currency: what the event changed in purchases, with a 95 % interval.

    Treated people, sent to or not, against those held out. With too few people there is no verdict, but how many it
    takes.
    """

    def work(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        found = effects.refresh(connection, tenant)
        return {
            "dagster/partition_row_count": found.effects,
            "events": found.events,
            "verdicts": counts("verdict", dict[str, int](found.verdicts.items())),
        }

    return for_each_tenant(context, warehouse, work)


def _named(figures: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {f"{channel}: {what}": number for channel, of in figures.items() for what, number in of.items()}
