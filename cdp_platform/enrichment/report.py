"""Reports of searches: contacts by outcome, calls by state, money, and decisions that a person has to make.

Nothing here is about a person, except `export`, which writes the contacts of a paid search into a file.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import class_row

from cdp_platform.enrichment import searches
from cdp_platform.enrichment.budget import SPENT_AT
from cdp_platform.enrichment.searches import Search
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops.spend import Spend
from cdp_platform.settings import EnrichmentSettings
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

OUTCOMES = ("waiting", "enriched", "no_match", "unusable", "held", "original")
STATUSES = ("preview", "paid", "enriching", "ready", "failed")
# A spreadsheet takes a text that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class TenantReport:
    """All searches of a tenant.

    Attributes:
        contacts: that the searches have.
        outcomes: number of contacts by outcome; all of `OUTCOMES`.
        statuses: number of searches by status; all of `STATUSES`.
        credits_today: credits that are used or reserved today (UTC).
        cost_today: what they cost, in the currency of credits.
    """

    contacts: int
    outcomes: dict[str, int]
    statuses: dict[str, int]
    credits_today: Decimal
    cost_today: Decimal


@dataclass(frozen=True)
class DoubtfulCall:
    """A call for which contacts are held, as its answer was lost.

    Attributes:
        call_id: as `cdp enrichment resolve` takes it.
        state: ``unknown``, or ``confirmed`` where it was charged for certain.
        reason: why the answer was lost.
        people: number of people asked about.
        credits: that it was charged; None while nobody knows.
        credits_reserved: most that it can have been charged beyond that.
        created_at: when it was reserved.
    """

    call_id: UUID
    state: str
    reason: str | None
    people: int
    credits: Decimal | None
    credits_reserved: Decimal
    created_at: datetime


@dataclass(frozen=True)
class Payment:
    """An event of the payment provider; the comments of ``enrichment.payment_event`` say what each column is."""

    event_id: str
    type: str
    outcome: str
    amount: Decimal | None
    currency: str | None
    reason: str | None
    received_at: datetime


@dataclass(frozen=True)
class SearchReport:
    """One search.

    Attributes:
        search: its row.
        outcomes: number of contacts by outcome; all of `OUTCOMES`.
        calls: number of calls by state.
        may_be_double: calls that asked again although an earlier answer was lost.
        margin: price less cost, where both are in one currency; else None.
        doubtful: calls that a person can resolve.
        payments: events of the payment provider that name the search, the oldest first.
    """

    search: Search
    outcomes: dict[str, int]
    calls: dict[str, int]
    may_be_double: int
    margin: Decimal | None
    doubtful: list[DoubtfulCall]
    payments: list[Payment]


def of_tenant(connection: psycopg.Connection, tenant_id: str, settings: EnrichmentSettings) -> TenantReport:
    """The searches of a tenant; the connection is outside any transaction."""
    with tenant_transaction(connection, tenant_id):
        found = searches.all_of(connection, tenant_id)
        today = datetime.now(UTC).date()
        spent = [
            Spend("enrichment", tenant_id, SPENT_AT, unit, today).amount(connection)
            for unit in ("credits", settings.apollo_credit_currency)
        ]
    return TenantReport(
        sum(each.contacts for each in found),
        {outcome: sum(getattr(each, outcome) for each in found) for outcome in OUTCOMES},
        {status: sum(each.status == status for each in found) for status in STATUSES},
        *spent,
    )


def of_search(connection: psycopg.Connection, tenant_id: str, search_id: UUID) -> SearchReport:
    """A search; the connection is outside any transaction.

    Raises:
        ConfigurationError: the tenant has no such search.
    """
    named = {"tenant": tenant_id, "search": search_id}
    with tenant_transaction(connection, tenant_id):
        search = searches.get(connection, tenant_id, search_id)
        calls = connection.execute(statement("enrichment", "calls_of_search"), named).fetchall()
        with connection.cursor(row_factory=class_row(DoubtfulCall)) as cursor:
            doubtful = cursor.execute(statement("enrichment", "doubtful_calls_of_search"), named).fetchall()
        with connection.cursor(row_factory=class_row(Payment)) as cursor:
            payments = cursor.execute(statement("enrichment", "payments_of_search"), named).fetchall()
    return SearchReport(
        search,
        {outcome: getattr(search, outcome) for outcome in OUTCOMES},
        {state: number for state, number, _ in calls},
        sum(doubles for _, _, doubles in calls),
        search.price - search.cost if search.currency == search.credit_currency else None,
        doubtful,
        payments,
    )


def export(connection: psycopg.Connection, tenant_id: str, search_id: UUID, path: Path) -> int:
    """Write the contacts of a paid search into a file, as CSV or, where it ends in .jsonl, as JSON lines.

    A text that a spreadsheet would take for a formula gets an apostrophe in front of it in CSV.

    Returns:
        Number of contacts.

    Raises:
        ConfigurationError: there is no such search, it is not paid, or the file cannot be written.
    """
    named = {"tenant": tenant_id, "search": search_id}
    with tenant_transaction(connection, tenant_id):
        search = searches.get(connection, tenant_id, search_id)
        if search.status == "preview":
            raise ConfigurationError(
                f"Search {search_id} is not paid, so its contacts are not given out: `cdp enrichment preview` shows "
                "them masked."
            )
        fields = connection.execute(statement("enrichment", "fields_of_search"), named).fetchone() or ([], [])
        with connection.cursor("contacts") as cursor:
            cursor.execute(statement("enrichment", "contacts_of_search"), named)
            try:
                return _write(path, cursor, *fields)
            except OSError as error:
                raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error


def _write(path: Path, rows: Iterable[tuple[Any, ...]], given: list[str], found: list[str]) -> int:
    number = 0
    if path.suffix == ".jsonl":
        with path.open("wb") as file:
            for line, outcome, reason, came, enriched in rows:
                said = {"line": line, "outcome": outcome, "reason": reason, "given": came, "found": enriched or {}}
                file.write(orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE))
                number += 1
        return number
    # With a mark by which spreadsheets know UTF-8.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        named = (*(f"given {name}" for name in given), *found)
        writer.writerow(map(_cell, ("line", "outcome", "reason", *named)))
        for line, outcome, reason, came, enriched in rows:
            values = (*map(came.get, given), *map((enriched or {}).get, found))
            writer.writerow([line, outcome, *map(_cell, (reason, *values))])
            number += 1
    return number


def _cell(value: Any) -> str:
    text = ", ".join(_texts(value))
    return f"'{text}" if text.startswith(_FORMULA) else text


def _texts(value: Any) -> Iterator[str]:
    """A value in words: items of a list after each other, of a phone its number."""
    if value is None:
        return
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        yield str(value["number"]) if "number" in value else orjson.dumps(value).decode()
    else:
        yield str(value)
