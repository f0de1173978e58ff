"""The gates that messages go through: one for each channel, and one for each event with a limit of its own."""

import time
from collections.abc import Callable

import psycopg

from cdp_platform.campaigns.channels.contract import Channel
from cdp_platform.campaigns.events import Event
from cdp_platform.ops.gate import DAY, MINUTE, Gate


def of_channel(
    connection: psycopg.Connection, channel: Channel, *, sleep: Callable[[float], None] = time.sleep
) -> Gate:
    """The gate of a channel, which all tenants share."""
    limits = {MINUTE: channel.per_minute, DAY: channel.per_day}
    return Gate(connection, f"channel {channel.name}", {w: n for w, n in limits.items() if n is not None}, sleep=sleep)


def of_event(
    connection: psycopg.Connection, event: Event, channel: Channel, *, sleep: Callable[[float], None]
) -> list[Gate]:
    """The event's own limit, if it has one, and then the channel's gate."""
    shared = of_channel(connection, channel, sleep=sleep)
    if event.rate_per_minute is None:
        return [shared]
    name, limits = f"event {event.tenant_id} {event.event_id}", {MINUTE: event.rate_per_minute}
    return [Gate(connection, name, limits, sleep=sleep), shared]
