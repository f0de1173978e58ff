"""Marketing events as Dagster partitions: ``TENANT|EVENT``."""

from collections.abc import Iterable

import dagster as dg

EVENTS = "marketing_event"

event_partitions = dg.DynamicPartitionsDefinition(name=EVENTS)


def key_of(tenant_id: str, event_id: str) -> str:
    """The partition of an event."""
    return f"{tenant_id}|{event_id}"


def of_key(key: str) -> tuple[str, str]:
    """Tenant and event of a partition. No tenant's id has the sign between them."""
    tenant_id, _, event_id = key.partition("|")
    return tenant_id, event_id


def known(instance: dg.DagsterInstance) -> list[str]:
    """The events that Dagster knows, in its order."""
    return list(instance.get_dynamic_partitions(EVENTS))


def ensure(instance: dg.DagsterInstance, keys: Iterable[str]) -> None:
    """Add the partitions of these events that are not there."""
    present = set(known(instance))
    if added := [key for key in dict.fromkeys(keys) if key not in present]:
        instance.add_dynamic_partitions(EVENTS, added)
