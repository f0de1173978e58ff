"""An estimate of a search before it is asked for: its cost, and the room that its limits leave."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import psycopg

from cdp_platform.enrichment import budget, searches
from cdp_platform.enrichment.calls import PROVIDER
from cdp_platform.enrichment.searches import Search
from cdp_platform.enrichment.tenant_settings import EnrichmentTenantSettings
from cdp_platform.ops.spend import Spend
from cdp_platform.ops.tenants import Tenant
from cdp_platform.settings import EnrichmentSettings
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class Left:
    """The rest of a limit.

    Attributes:
        limit: name of the limit.
        unit: credits, or the currency that they are paid in.
        most: the limit.
        left: of it; negative where it was lowered below what was used.
        needed: what the rest of the search may need of it at worst.
    """

    limit: str
    unit: str
    most: Decimal
    left: Decimal
    needed: Decimal

    @property
    def is_enough(self) -> bool:
        """Whether the search can end without reaching it."""
        return self.needed <= self.left


@dataclass(frozen=True)
class Estimate:
    """The work that is left for a search, and its cost.

    Attributes:
        contacts: contacts that are not done.
        questions: different people among them.
        answered: people of whom there is a fresh answer, which costs nothing more.
        under_way: people who are being asked about, by this search or another.
        to_ask: people who have to be asked about.
        least_credits: what that costs if nobody is found.
        most_credits: what it costs if everybody is found with all that is asked for.
        most_money: the same in currency.
        currency: ISO 4217 code of money, that of credits.
        limits: every limit that there is, the narrowest first.
    """

    search_id: UUID
    name: str
    status: searches.Status
    contacts: int
    questions: int
    answered: int
    under_way: int
    to_ask: int
    least_credits: Decimal
    most_credits: Decimal
    most_money: Decimal
    currency: str
    limits: list[Left]


def estimate(connection: psycopg.Connection, tenant: Tenant, search_id: UUID, settings: EnrichmentSettings) -> Estimate:
    """Estimate the rest of a search; inside a transaction of the tenant.

    Raises:
        ConfigurationError: the tenant has no such search, or a setting of it is not usable.
    """
    search = searches.get(connection, tenant.tenant_id, search_id)
    asked = {"personal_emails": search.personal_emails, "phones": search.phones}
    values = {"tenant": tenant.tenant_id, "search": search_id, "provider": PROVIDER, **asked}
    row = connection.execute(statement("enrichment", "estimate"), values).fetchone()
    assert row is not None  # noqa: S101 (counts are one row)
    questions, answered, under_way, to_ask = row
    most = to_ask * budget.worst_case(search.phones)
    # The price of a search that has begun is kept with it.
    price, currency = settings.apollo_credit_price, settings.apollo_credit_currency
    if search.started_at:
        price, currency = search.credit_price, search.credit_currency
    needed = {"credits": most, currency: most * price}
    limits = [
        Left(name, unit, limit, limit - used, needed[unit])
        for name, unit, limit, used in _limits(connection, tenant, search, settings, currency)
        if limit is not None
    ]
    return Estimate(
        *(search_id, search.name, search.status, search.waiting + search.held + search.original),
        *(questions, answered, under_way, to_ask),
        *(Decimal(0), most, most * price, currency),
        sorted(limits, key=lambda each: each.left - each.needed),
    )


def _limits(
    connection: psycopg.Connection, tenant: Tenant, search: Search, settings: EnrichmentSettings, currency: str
) -> Iterator[tuple[str, str, Decimal | None, Decimal]]:
    """Name, unit, limit and what is used of it, of each limit that there can be."""
    used = search.credits + search.credits_reserved
    yield "search", "credits", search.credit_limit, used
    yield "search", currency, search.money_limit, used * search.credit_price
    of_tenant = budget.Limits.of(settings, EnrichmentTenantSettings.of(tenant))
    query = "SELECT coalesce(sum(credits + credits_reserved), 0) FROM enrichment.search WHERE tenant_id = %s"
    (of_all,) = connection.execute(query, [tenant.tenant_id]).fetchone() or (Decimal(0),)
    yield "tenant", "credits", of_tenant.credits, of_all
    for unit, limit in (("credits", of_tenant.daily_credits), (currency, of_tenant.daily_money)):
        spend = Spend("enrichment", tenant.tenant_id, budget.SPENT_AT, unit, datetime.now(UTC).date())
        yield "day", unit, limit, spend.amount(connection)
