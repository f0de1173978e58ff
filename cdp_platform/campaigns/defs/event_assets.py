"""The assets that are made by event: its audience, and its deliveries. Their work is in `campaigns.running`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psycopg
from pydantic import Field

from cdp_platform.campaigns import report, running
from cdp_platform.campaigns.defs.assets import GROUP, ROOM, consent, segments
from cdp_platform.campaigns.defs.failed_events import note_failed
from cdp_platform.campaigns.defs.partitions import event_partitions, of_key
from cdp_platform.campaigns.defs.resources import ChannelsResource
from cdp_platform.campaigns.dispatch import DispatchResult
from cdp_platform.campaigns.report import EventReport
from cdp_platform.errors import BlockedError, PlatformError
from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration.metadata import counts, table
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.tenant_runs import Made, for_each_partition, partition_keys

# Greatest number of characters of a bar in a chart of metadata.
_BAR = 40


class StartConfig(dg.Config):
    """When to begin. By default an event begins when it is due, and one that is not due yet is left alone."""

    now: bool = Field(False, description="Begin planned events now: their start becomes this moment.")


def _spec(name: str, description: str, deps: Sequence[dg.AssetDep], shown: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        [GROUP, name],
        description=description,
        group_name=GROUP,
        owners=ROOM["owners"],
        kinds=ROOM["kinds"],
        partitions_def=event_partitions,
        deps=deps,
        metadata=table(shown),
    )


AUDIENCE = _spec(
    "audience_snapshot",
    "One row per event: its audience, with a decision and its first reason for every person of the segment. It is "
    "resolved once, when the event begins, and nobody is added later.",
    # These have a partition for each tenant.
    [dg.AssetDep(each, partition_mapping=dg.AllPartitionMapping()) for each in (segments, consent)],
    "campaigns.segment_snapshot",
)
DELIVERIES = _spec(
    "campaign_deliveries",
    "One row per delivery: each message that the event sends, and how far it is. A run sends what is due, for ten "
    "minutes at most. It waits for no quiet hours, no pause and no breaker: the sensor asks for the next run when "
    "something can be sent.",
    [dg.AssetDep(AUDIENCE.key)],
    "campaigns.delivery_log",
)


@dg.multi_asset(
    name=f"{GROUP}__events",
    specs=[AUDIENCE, DELIVERIES],
    backfill_policy=ROOM["backfill_policy"],
    retry_policy=ROOM["retry_policy"],
)
def events(
    context: dg.AssetExecutionContext, config: StartConfig, warehouse: WarehouseResource, channels: ChannelsResource
) -> Iterator[dg.MaterializeResult]:
    """Begin the events that are due, freeze their audiences, and send what is due of all of them, in turns.

    A planned event that is due becomes running, or missed where it is found later than its grace allows. All is one
    step, so that the fault of one event holds up no other.
    """
    keys = partition_keys(context)
    begun = {key: _begin(warehouse, channels, key, now=config.now) for key in keys}
    going = {key: each.tenant for key, each in begun.items() if isinstance(each, _Going)}
    sent = running.send(
        warehouse.connect,
        [(tenant, of_key(key)[1]) for key, tenant in going.items()],
        channels.configured().required,
        channels.links,
    )
    failed = [key for key in keys if isinstance(begun[key], Exception) or isinstance(sent.get(of_key(key)), Exception)]
    note_failed(context.instance, context.run.run_id, failed)

    def of_event(key: str) -> Iterator[Made]:
        first, outcome = begun[key], sent.get(of_key(key), DispatchResult(why_ended="not_running"))
        if isinstance(first, Exception):
            raise first
        yield AUDIENCE.key, first.figures
        if isinstance(outcome, Exception):
            raise outcome
        with warehouse.connect() as connection:
            found = report.of_event(connection, *of_key(key))
        yield DELIVERIES.key, _figures(found, outcome)

    yield from for_each_partition(context, of_event)


@dataclass(frozen=True)
class _First:
    """Figures of the first step of an event, for its audience's metadata."""

    figures: Mapping[str, Any]


@dataclass(frozen=True)
class _Going(_First):
    """An event of this tenant of which messages may go out."""

    tenant: Tenant


def _begin(warehouse: WarehouseResource, channels: ChannelsResource, key: str, *, now: bool) -> _First | Exception:
    tenant_id, event_id = of_key(key)
    try:
        with warehouse.connect() as connection:
            tenant = tenants.get(connection, tenant_id)
            if not tenant.active:
                return _First({"skipped": "the tenant is retired"})
            if now:
                running.start_now(connection, tenant_id, event_id)
            begun = running.begin(connection, tenant, event_id, channels.configured().required, channels.links)
            if begun.snapshot is None:
                return _First(_audience(begun))
            if flaw := report.unsound(connection, tenant, event_id):
                return BlockedError(f"Nothing was sent: {flaw}")
    except (PlatformError, psycopg.Error) as error:
        return error
    return _Going(_audience(begun), tenant)


def _audience(begun: running.Begun) -> Mapping[str, Any]:
    if begun.snapshot is None:
        return {"dagster/partition_row_count": 0, "status": begun.status, "note": begun.note}
    excluded = {reason: people for reason, people in begun.snapshot.by_reason.items() if people}
    return {
        "dagster/partition_row_count": begun.snapshot.people,
        "status": begun.status,
        "included": begun.snapshot.included,
        "excluded": counts("excluded by", excluded),
        "chart": chart({"included": begun.snapshot.included, **excluded}),
    }


def _figures(found: EventReport, sent: DispatchResult) -> Mapping[str, Any]:
    return {
        "dagster/partition_row_count": found.people,
        "status": found.status,
        "sent": sent.sent,
        "confirmed": found.states["confirmed"],
        "failed": found.states["failed"],
        "waiting": found.states["reserved"],
        "unknown": found.states["unknown"],
        "excluded": found.states["excluded"],
        "ended_because": sent.reason or sent.why_ended.replace("_", " "),
        **({"next_due_at": sent.next_due_at.isoformat()} if sent.next_due_at else {}),
        "states": counts("state", found.states),
        "reasons": counts("state: reason", found.reasons),
        "outcomes": counts("outcome", found.outcomes),
        "chart": chart(found.states),
    }


def chart(figures: Mapping[str, int]) -> dg.MetadataValue:
    """A bar for each number, in markdown."""
    greatest = max(figures.values(), default=0)
    bars = {name: "█" * -(-number * _BAR // greatest) for name, number in figures.items() if number}
    width = max(map(len, bars), default=0)
    lines = [f"{name:<{width}} {bar} {figures[name]:,}" for name, bar in bars.items()]
    return dg.MetadataValue.md("\n".join(["```", *lines, "```"]) if lines else "nobody")
