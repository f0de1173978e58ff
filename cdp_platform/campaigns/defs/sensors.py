"""The sensor of events that are due, and the jobs and schedules of the room."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
import psycopg
from psycopg.rows import class_row

from cdp_platform.campaigns import gates
from cdp_platform.campaigns.defs import assets, event_assets, failed_events
from cdp_platform.campaigns.defs import partitions as event_partitions
from cdp_platform.campaigns.defs.resources import ChannelsResource
from cdp_platform.orchestration import partitions, run_limits
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.schedules import net
from cdp_platform.orchestration.watch import when_due

if TYPE_CHECKING:
    from cdp_platform.campaigns.channels.config import Channels

DUE = "campaigns_due"

due_job = dg.define_asset_job(
    DUE,
    selection=dg.AssetSelection.assets(event_assets.events),
    description="Begins events that are due, freezes their audiences, and sends what is due, for ten minutes at most.",
)
segments_job = dg.define_asset_job(
    "campaigns_segments",
    selection=dg.AssetSelection.assets(assets.segments, assets.consent),
    description="Takes segments from the CDP, as versions, and counts consent.",
)
effect_job = dg.define_asset_job(
    "campaigns_effect",
    selection=dg.AssetSelection.assets(assets.effect),
    description="Measures what events changed in purchases, treated people against those held out.",
)


@dataclass(frozen=True)
class Due:
    """One row of ``campaigns.due()``: an open event of an active tenant."""

    tenant_id: str
    event_id: str
    channel: str
    what: str
    due_at: datetime

    @property
    def key(self) -> str:
        """Its partition."""
        return event_partitions.key_of(self.tenant_id, self.event_id)


@dg.sensor(
    job=due_job,
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run as soon as an event is due or has something to send. One query looks at the events of "
    "all tenants; a tick waits up to 45 seconds for the next of them.",
)
def due_events(
    context: dg.SensorEvaluationContext, warehouse: WarehouseResource, channels: ChannelsResource
) -> dg.SensorResult | dg.SkipReason:
    """Look at what is due; if that is nothing, wait until something is, or until an event changes, and look again."""
    configured = channels.configured()
    with warehouse.connect() as connection:

        def look() -> tuple[dg.SensorResult | dg.SkipReason, list[datetime]]:
            found = _open(connection)
            event_partitions.ensure(context.instance, (each.key for each in found))
            return _look(context.instance, connection, configured, found), [each.due_at for each in found]

        return when_due(connection, "campaigns_event", look)


def _open(connection: psycopg.Connection) -> list[Due]:
    with connection.cursor(row_factory=class_row(Due)) as cursor:
        return cursor.execute("SELECT * FROM campaigns.due() WHERE due_at < 'infinity' ORDER BY due_at").fetchall()


def _look(
    instance: dg.DagsterInstance, connection: psycopg.Connection, channels: "Channels", found: Sequence[Due]
) -> dg.SensorResult | dg.SkipReason:
    now = datetime.now(UTC)
    due = [each for each in found if each.due_at <= now]
    if not due:
        return dg.SkipReason(f"No event is due; {len(found)} are open.")
    known = event_partitions.known(instance)
    busy = partitions.busy(instance, {DUE}, known)
    resting = failed_events.resting(instance, DUE, known)
    closed = _closed(connection, channels, {each.channel for each in due if each.what == "go on"})
    # An event that is to begin does so whether its channel is open or not: its audience is of this moment.
    wanted = {
        each.key
        for each in due
        if each.key not in busy | resting and not (each.what == "go on" and each.channel in closed)
    }
    if not wanted:
        return dg.SkipReason(
            f"{len(due)} events are due: {len(busy)} in a run, {len(resting)} rest after a failure"
            + "".join(f"; channel {name} is closed: {reason}" for name, reason in closed.items())
        )
    left = run_limits.left_for(instance, due_events.name)
    if not left:
        return dg.SkipReason(f"{len(wanted)} events wait until an earlier run ends.")
    runs = [[key] for key in known if key in wanted]
    if len(runs) > left:
        runs = partitions.ranges(known, wanted, at_most=left)
    return dg.SensorResult(run_requests=[_request(keys) for keys in runs])


def _request(keys: Sequence[str]) -> dg.RunRequest:
    if len(keys) == 1:
        return dg.RunRequest(partition_key=keys[0])
    return dg.RunRequest(tags=partitions.range_tags(keys))


def _closed(connection: psycopg.Connection, channels: "Channels", names: Collection[str]) -> dict[str, str]:
    """Why nobody is let through to a channel, by its name."""
    found = {}
    for name in sorted(names):
        channel = channels.get(name)
        if channel is not None and (closed := gates.of_channel(connection, channel).closed()) is not None:
            found[name] = closed.reason
    return found


segments_every_hour = net(
    "segments_every_hour",
    segments_job,
    cron="20 * * * *",
    description="Every hour, segments and consent of every tenant, in case a change was not seen.",
    subject="segments",
)
effect_every_day = net(
    "effect_every_day",
    effect_job,
    cron="0 5 * * *",
    description="The effect of every tenant's events, each day at 05:00 UTC, after the orders of the night.",
    subject="effect",
)
