"""How far each tenant's data has come: last success, lag behind the source, rejected documents."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cdp_platform import settings
from cdp_platform.customers import profiles, transactions
from cdp_platform.customers.source import SourceState, TenantSource
from cdp_platform.errors import SourceError
from cdp_platform.resources.arango import open_database
from cdp_platform.warehouse import rejected, tenants, watermark
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform.warehouse.tenants import Tenant

_SOURCES = (profiles.COLLECTION, transactions.COLLECTION)


@dataclass(frozen=True)
class TenantStatus:
    """One source of one tenant.

    Attributes:
        tenant_id: whose.
        source: the collection.
        last_success_at: when it was last read to its end; None if never.
        read_until: the watermark, in the source's own words.
        lag: greatest stamp in the source now, less the watermark; None if unknown.
        source_count: documents in the source now, None if it could not be asked.
        rejected: documents that wait.
        problem: why the source could not be asked, or ''.
    """

    tenant_id: str
    source: str
    last_success_at: datetime | None
    read_until: str | None
    lag: timedelta | None
    source_count: int | None
    rejected: int
    problem: str = ""


def read() -> list[TenantStatus]:
    """The status of every active tenant's sources, each asked now."""
    with connect(settings.postgres()) as connection:
        return [
            status
            for tenant in tenants.registered(connection)
            if tenant.active
            for status in _of_tenant(connection, tenant)
        ]


def _of_tenant(connection: Any, tenant: Tenant) -> Iterator[TenantStatus]:
    with tenant_transaction(connection, tenant.tenant_id):
        states = {state.source: state for state in watermark.states(connection, tenant.tenant_id)}
        waiting = {source: rejected.count_waiting(connection, tenant.tenant_id, source) for source in _SOURCES}
    current, problem = _ask(tenant)
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
            problem=problem,
        )


def _ask(tenant: Tenant) -> tuple[dict[str, SourceState], str]:
    try:
        with open_database(settings.arango(), tenant.arango_database, timeout_seconds=10) as database:
            return TenantSource(database, tenant).states(), ""
    except SourceError as error:
        return {}, str(error)


def _difference(greatest: Any, stamp: str | None) -> timedelta | None:
    with suppress(ValueError, TypeError):
        return datetime.fromisoformat(greatest) - datetime.fromisoformat(stamp or "")
    return None
