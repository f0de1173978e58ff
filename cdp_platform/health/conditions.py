"""What the tables say is wrong now, as troubles for alerts. The limits are those of the rooms' own checks."""

from collections.abc import Iterator
from decimal import Decimal

import psycopg

from cdp_platform import settings
from cdp_platform.customers.soundness import STALE_WARN
from cdp_platform.enrichment.budget import Limits
from cdp_platform.enrichment.tenant_settings import EnrichmentTenantSettings
from cdp_platform.errors import ConfigurationError
from cdp_platform.health import figures
from cdp_platform.health.figures import Figure
from cdp_platform.ops import tenants
from cdp_platform.ops.alerts import Kind, Trouble
from cdp_platform.ops.tenants import Tenant

KINDS: tuple[Kind, ...] = ("stale", "budget", "breaker", "rejected", "failed_texts", "unknown")
"""The kinds that `found` looks at as a whole."""

# An outlay that may not be reserved in full stops the work before all of the budget is spent.
_BUDGET_SHARE = Decimal("0.9")


def found(connection: psycopg.Connection) -> list[Trouble]:
    """All that is wrong of `KINDS`, of all active tenants.

    Args:
        connection: of the platform's role, outside any transaction.
    """
    active = {tenant.tenant_id: tenant for tenant in tenants.registered(connection) if tenant.active}
    limits = {tenant_id: _limits(tenant) for tenant_id, tenant in active.items()}
    troubles = [
        trouble
        for figure in figures.of_tenants(connection, list(active.values()))
        for trouble in _of_figure(figure, limits[figure.tenant_id])
    ]
    return troubles + [
        Trouble("breaker", breaker.gate, f"Not called, because it failed repeatedly: {breaker.reason}")
        for breaker in figures.open_breakers(connection)
    ]


def _of_figure(figure: Figure, limits: dict[tuple[str, str], Decimal]) -> Iterator[Trouble]:
    tenant, room, subject, value = figure.tenant_id, figure.room, figure.subject, figure.value
    if figure.name == "read_age" and figure.room == "customers" and value > STALE_WARN.total_seconds():
        words = (
            f"Not read to its end for {value / 3600:.1f} h. See `cdp status`, `cdp health` and the tenant's last run."
        )
        yield Trouble("stale", subject, words, tenant=tenant, room=room)
    elif figure.name == "rejected":
        words = f"{value:,.0f} documents wait: `cdp rejected list --tenant {tenant}` says why."
        yield Trouble("rejected", subject, words, tenant=tenant, room=room, figure=int(value))
    elif figure.name == "failed_texts":
        words = f"{value:,.0f} texts are {subject}: `cdp embeddings status --tenant {tenant}` says why."
        yield Trouble("failed_texts", subject, words, tenant=tenant, room=room, figure=int(value))
    elif figure.name == "effects" and subject == "unknown":
        words = f"Of {value:,.0f} effects nobody knows whether they happened. {_RESOLVE[figure.room].format(tenant)}"
        yield Trouble("unknown", figure.room, words, tenant=tenant, room=room, figure=int(value))
    elif figure.name == "spent":
        limit = limits.get((figure.room, subject))
        if limit is not None and Decimal(value) >= limit * _BUDGET_SHARE:
            words = (
                f"{value:,.2f} of {limit:,.2f} {subject} are spent or reserved today (UTC). Work waits at the limit."
            )
            yield Trouble("budget", f"{figure.room} {subject}", words, tenant=tenant, room=room)


_RESOLVE = {
    "campaigns": "`cdp campaign report --tenant {}` counts them, `cdp campaign resolve` settles them.",
    "enrichment": "`cdp enrichment report --tenant {}` lists them, `cdp enrichment resolve` settles them.",
    "referrals": "The next export of {} asks the spreadsheet.",
}


def _limits(tenant: Tenant) -> dict[tuple[str, str], Decimal]:
    """Limits per day, by room and unit. A setting that is wrong is told where it is used."""
    found: dict[tuple[str, str], Decimal | None] = {}
    try:
        found["embeddings", "USD"] = settings.embeddings().embed_daily_budget
        of_room = settings.enrichment()
        limits = Limits.of(of_room, EnrichmentTenantSettings.of(tenant))
        found["enrichment", "credits"] = limits.daily_credits
        found["enrichment", of_room.apollo_credit_currency] = limits.daily_money
    except ConfigurationError:
        pass
    return {which: limit for which, limit in found.items() if limit is not None}
