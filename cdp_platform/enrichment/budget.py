"""The limits of what calls cost: of a search, of a tenant in all, and of a tenant's day, in credits and in money.

The worst case of a call is reserved before it, and its answer releases the rest, so that no limit is ever passed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg

from cdp_platform.enrichment.tenant_settings import EnrichmentTenantSettings
from cdp_platform.ops.spend import Spend
from cdp_platform.settings import EnrichmentSettings
from cdp_platform.warehouse.statements import statement

SPENT_AT = "apollo"
"""The account that spending is counted at, for all keys."""
PERSON_CREDITS, PHONE_CREDITS = Decimal(1), Decimal(8)
"""Most credits for a person's data or address, and for a mobile phone."""
# A limit may be raised at any time, so a search that is at one is looked at this often.
LOOK_AGAIN = timedelta(minutes=5)


@dataclass(frozen=True)
class Limits:
    """Limits of a tenant; None: no limit.

    Attributes:
        credits: in all.
        daily_credits: per day (UTC).
        daily_money: per day (UTC), in the currency of credits.
    """

    credits: Decimal | None = None
    daily_credits: Decimal | None = None
    daily_money: Decimal | None = None

    @classmethod
    def of(cls, platform: EnrichmentSettings, tenant: EnrichmentTenantSettings) -> "Limits":
        """The tenant's own limits; the platform's where it has none."""
        daily, money = tenant.enrichment_daily_credits, tenant.enrichment_daily_budget
        return cls(
            tenant.enrichment_credit_limit,
            platform.enrichment_daily_credits if daily is None else daily,
            platform.enrichment_daily_budget if money is None else money,
        )


@dataclass(frozen=True)
class OpenSearch:
    """A search under way that has open contacts.

    Attributes:
        search_id: of the row.
        personal_emails: whether private addresses are asked for.
        phones: whether mobile phones are asked for.
        credit_limit: most credits that it may use.
        money_limit: most that they may cost.
        used: credits that are charged or reserved.
        credit_price: of one credit, in ``credit_currency``.
        credit_currency: ISO 4217 code.
        open_contacts: number of those that have no final outcome and are not held.
    """

    search_id: UUID
    personal_emails: bool
    phones: bool
    credit_limit: Decimal | None
    money_limit: Decimal | None
    used: Decimal
    credit_price: Decimal
    credit_currency: str
    open_contacts: int


@dataclass(frozen=True)
class Granted:
    """The money that is reserved.

    Attributes:
        people: number of people that may be asked about.
        reason: which limit allows no more, and what is needed; '' where all are granted.
        seconds: until when it is to be tried again.
    """

    people: int
    reason: str = ""
    seconds: float = 0.0


def worst_case(phones: bool) -> Decimal:
    """Most credits that the answer about one person costs."""
    return PERSON_CREDITS + PHONE_CREDITS * phones


def reserve(
    connection: psycopg.Connection, tenant_id: str, search: OpenSearch, limits: Limits, *, day: date, people: int
) -> Granted:
    """Reserve the worst case of a call about so many people, or about as many as the limits allow.

    Args:
        connection: inside a transaction of `calls.transaction`, which writes the calls as well.
        tenant_id: whose.
        search: for which.
        limits: of the tenant.
        day: whose spend has it.
        people: at least one.
    """
    each = worst_case(search.phones)
    granted = Granted(people)
    for name, limit, used in _limits(connection, tenant_id, search, limits):
        if (fitting := max(0, int((limit - used) // each))) < granted.people:
            granted = Granted(fitting, _reason(name, search), LOOK_AGAIN.total_seconds())
    # A limit of the day ends with it.
    seconds = min(LOOK_AGAIN.total_seconds(), _seconds_left(day))
    daily = (
        ("credits", each, limits.daily_credits, "credits a day"),
        (search.credit_currency, each * search.credit_price, limits.daily_money, f"{search.credit_currency} a day"),
    )
    taken: list[tuple[Spend, Decimal, int]] = []
    for unit, amount, limit, words in daily:
        spend = Spend("enrichment", tenant_id, SPENT_AT, unit, day)
        fitting = spend.reserve(connection, [amount] * granted.people, limit=limit)
        taken.append((spend, amount, fitting))
        if limit is not None and fitting < granted.people:
            granted = Granted(fitting, _reason(f"The tenant's limit of {limit} {words}", search), seconds)
    for spend, amount, fitting in taken:
        if fitting > granted.people:
            spend.correct(connection, -amount * (fitting - granted.people))
    return granted


def book(
    connection: psycopg.Connection, tenant_id: str, call_id: UUID, *, more: Decimal | None, still_reserved: Decimal
) -> None:
    """Book what became known of the credits of a call: at the call, at its search, and at the spend of its day.

    Args:
        connection: inside a transaction of `calls.transaction`.
        tenant_id: whose.
        call_id: of the call.
        more: credits that it was charged beyond those that are booked; None: it is not known, and nothing is booked.
        still_reserved: credits that may still come.
    """
    values = {"tenant": tenant_id, "call": call_id, "more": more, "still_reserved": still_reserved}
    row = connection.execute(statement("enrichment", "book_credits"), values).fetchone()
    assert row is not None  # noqa: S101 (a call that is there, and its search)
    day, change, price, currency = row
    if change:
        for unit, amount in (("credits", change), (currency, change * price)):
            Spend("enrichment", tenant_id, SPENT_AT, unit, day).correct(connection, amount)


def _limits(
    connection: psycopg.Connection, tenant_id: str, search: OpenSearch, limits: Limits
) -> Iterator[tuple[str, Decimal, Decimal]]:
    """Name, credits and used credits of each limit but the daily ones."""
    if search.credit_limit is not None:
        yield f"Its limit of {search.credit_limit} credits", search.credit_limit, search.used
    if search.money_limit is not None and search.credit_price:
        name = f"Its limit of {search.money_limit} {search.credit_currency}"
        yield name, search.money_limit / search.credit_price, search.used
    if limits.credits is not None:
        row = connection.execute(statement("enrichment", "credits_of_tenant"), {"tenant": tenant_id}).fetchone()
        assert row is not None  # noqa: S101 (a sum is one row)
        yield f"The tenant's limit of {limits.credits} credits", limits.credits, row[0]


def _reason(name: str, search: OpenSearch) -> str:
    needed = search.open_contacts * worst_case(search.phones)
    return (
        f"{name} is reached, and the {search.open_contacts} contacts that wait may need {needed:f} credits. Raise "
        "it, and the search goes on."
    )


def _seconds_left(day: date) -> float:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    return max(0.0, (midnight - datetime.now(UTC)).total_seconds())
