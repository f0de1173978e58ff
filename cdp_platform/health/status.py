"""How far each tenant's data has come: last success, lag behind the source, rejected documents."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cdp_platform import settings
from cdp_platform.customers import profiles, transactions
from cdp_platform.customers.source import SourceState, TenantSource, with_database
from cdp_platform.errors import SourceError
from cdp_platform.health import looks
from cdp_platform.ops import rejected, tenants, watermark
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import connect, tenant_transaction

_AT_ONCE = 16
_SOURCES = (profiles.COLLECTION, transactions.COLLECTION)


@dataclass(frozen=True)
class TenantStatus:
    """One source of one tenant.

    Attributes:
        tenant_id: the tenant.
        source: name of the collection; None if the tenant has no ArangoDB database, and then nothing else is known.
        last_success_at: when it was last read to its end; None if never.
        read_until: the watermark, as ISO 8601 in UTC.
        lag: greatest stamp in the source now, less the watermark; None if unknown.
        source_count: documents in the source now, None if it could not be asked.
        rejected: number of rejected documents that wait.
        undated: number of documents whose ``updatedAt`` was not a timestamp, or was in the future, when they were last
            read; every sync reads these again.
        problem: why the source could not be asked, or ''.
    """

    tenant_id: str
    source: str | None
    last_success_at: datetime | None = None
    read_until: str | None = None
    lag: timedelta | None = None
    source_count: int | None = None
    rejected: int = 0
    undated: int | None = None
    problem: str = ""


def read() -> list[TenantStatus]:
    """The status of every source of every active tenant; those without a database come last. Each source is asked."""
    with connect(settings.postgres()) as connection:
        registered = tenants.registered(connection)
        read_from = with_database(registered)
        # In parallel, so that a server that hangs costs one wait and not one for each tenant.
        with ThreadPoolExecutor(_AT_ONCE, "source") as pool:
            asked = list(pool.map(_ask, read_from))
        found = [
            status
            for tenant, answer in zip(read_from, asked, strict=True)
            for status in _of_tenant(connection, tenant, *answer)
        ]
    others = [each for each in registered if each.active and not each.arango_database]
    return found + [TenantStatus(each.tenant_id, source=None) for each in others]


def _of_tenant(
    connection: Any, tenant: Tenant, current: dict[str, SourceState], problem: str
) -> Iterator[TenantStatus]:
    with tenant_transaction(connection, tenant.tenant_id):
        states = {state.source: state for state in watermark.states(connection, tenant.tenant_id)}
        waiting = {source: rejected.count_waiting(connection, tenant.tenant_id, source) for source in _SOURCES}
    for source, count in waiting.items():
        now = current.get(source)
        state = states.get(source)
        stamp = state.stamp if state else None
        yield TenantStatus(
            tenant_id=tenant.tenant_id,
            source=source,
            last_success_at=state.last_success_at if state else None,
            read_until=stamp,
            lag=_difference(now.greatest, stamp) if now else None,
            source_count=now.count if now else None,
            rejected=count,
            undated=state.undated_count if state else None,
            problem=problem,
        )


def _ask(tenant: Tenant) -> tuple[dict[str, SourceState], str]:
    try:
        return looks.arango(tenant.arango_database, lambda database: TenantSource(database, tenant).states()), ""
    except SourceError as error:
        return {}, str(error)


def _difference(greatest: str | None, stamp: str | None) -> timedelta | None:
    if greatest is None or stamp is None:
        return None
    return datetime.fromisoformat(greatest) - datetime.fromisoformat(stamp)
