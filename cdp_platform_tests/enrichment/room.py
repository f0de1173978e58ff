"""A tenant that buys: its searches, runs for them, and the stand-in of Apollo, whose count of credits is the judge."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from cdp_platform.enrichment import running
from cdp_platform.enrichment.running import RunResult
from cdp_platform.resources.apollo import Apollo
from cdp_platform.settings import EnrichmentSettings, PostgresSettings
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.apollo_stub import ApolloStub
from cdp_sandbox.apollo import KEY

_CONTACT = """
INSERT INTO enrichment.contact (tenant_id, contact_id, search_id, line, given, question, question_hash, email)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_SEARCH = """
INSERT INTO enrichment.search (tenant_id, search_id, name, price, currency, personal_emails, phones, credit_limit,
    money_limit)
VALUES (%s, %s, 'leads', 2.99, 'USD', %s, %s, %s, %s)
"""
# All that was charged, by call: what the ledger knows, and what it holds for answers that were lost.
_LEDGER = "SELECT coalesce(sum(credits), 0), coalesce(sum(credits_reserved), 0) FROM enrichment.provider_call"


@dataclass(frozen=True)
class Room:
    """One tenant, a connection of the platform's role, and the stand-in."""

    connection: psycopg.Connection
    postgres: PostgresSettings
    apollo: ApolloStub
    tenant_id: str
    options: dict[str, Any] = field(default_factory=dict)

    def settings(self, **options: Any) -> EnrichmentSettings:
        given: dict[str, Any] = {
            "apollo_base_url": self.apollo.base_url,
            "apollo_api_key": KEY,
            "apollo_rate_limit_per_minute": 1_000,
        }
        return EnrichmentSettings(**given | self.options | options)

    def search(
        self,
        people: int | Iterable[Mapping[str, str] | str],
        *,
        phones: bool = False,
        personal_emails: bool = False,
        credit_limit: int | None = None,
        money_limit: Decimal | None = None,
        status: str = "paid",
    ) -> UUID:
        """A search for so many people who are found, or for these; a text is an address."""
        if isinstance(people, int):
            people = [f"found-{number}@{uuid4().hex[:8]}.example" for number in range(people)]
        search_id, rows = uuid4(), []
        for line, given in enumerate(people, start=1):
            asked = {"email": given} if isinstance(given, str) else dict(given)
            identity = asked.get("email") or str(sorted(asked.items()))
            digest = hashlib.sha256(f"{self.tenant_id} {identity}".encode()).digest()
            question = Jsonb(asked)
            contact_id = f"{search_id} {line:08}"
            rows.append((self.tenant_id, contact_id, search_id, line, question, question, digest, asked.get("email")))
        with tenant_transaction(self.connection, self.tenant_id):
            limits = [personal_emails, phones, credit_limit, money_limit]
            self.connection.execute(_SEARCH, [self.tenant_id, search_id, *limits])
            self.connection.cursor().executemany(_CONTACT, rows)
            if status != "preview":
                self.connection.execute(
                    "SELECT enrichment.move_search(%s, %s, 'preview', 'paid')", [self.tenant_id, search_id]
                )
        return search_id

    def connects(self) -> Any:
        return connect(self.postgres)

    def client(self, **options: Any) -> Apollo:
        given: dict[str, Any] = {"key": KEY, "base_url": self.apollo.base_url, "timeout": 5.0}
        return Apollo(**given | options)

    def run(
        self, *, seconds: float = 60, client: Callable[[], Apollo] | None = None, progress: Any = None, **options: Any
    ) -> RunResult:
        """One run for the tenant."""
        return running.run(
            self.connects,
            self.tenant_id,
            client or self.client,
            self.settings(**options),
            seconds=seconds,
            **({"progress": progress} if progress else {}),
        )

    def rows(self, query: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[tuple]:
        """The rows of a query inside the tenant's transaction."""
        with tenant_transaction(self.connection, self.tenant_id):
            cursor = self.connection.execute(sql.SQL(query), parameters or None)  # ty: ignore[invalid-argument-type]
            return cursor.fetchall() if cursor.description else []

    def outcomes(self, search_id: UUID | None = None) -> dict[str, int]:
        """Number of contacts by outcome."""
        which = "search_id = %s" if search_id else "%s::uuid IS NULL"
        return dict(
            self.rows(f"SELECT outcome, count(*) FROM enrichment.contact WHERE {which} GROUP BY 1", [search_id])
        )

    def of(self, search_id: UUID, column: str) -> Any:
        """A column of a search."""
        return self.rows(f"SELECT {column} FROM enrichment.search WHERE search_id = %s", [search_id])[0][0]

    def calls(self) -> list[tuple[str, int]]:
        """State and number of people of each call, in the order in which they were reserved."""
        return self.rows("SELECT state, people FROM enrichment.provider_call ORDER BY created_at, call_id")

    def ledger(self) -> Decimal:
        """Credits that the ledger knows of."""
        return self.rows(_LEDGER)[0][0]

    def reserved(self) -> Decimal:
        """Credits that are reserved for answers that were lost or are to come."""
        return self.rows(_LEDGER)[0][1]

    def assert_ledger_is_right(self) -> None:
        """The ledger's credits are the judge's, and at search, calls and spend they are the same."""
        charged = self.apollo.credits()
        assert self.ledger() == charged
        assert self.reserved() == 0
        of_searches = "SELECT coalesce(sum(credits), 0), coalesce(sum(credits_reserved), 0) FROM enrichment.search"
        assert self.rows(of_searches) == [(charged, 0)]
        of_days = "SELECT coalesce(sum(amount), 0) FROM enrichment.spend WHERE unit = 'credits'"
        assert self.rows(of_days) == [(charged,)]

    def charged_twice(self) -> int:
        """People whom the judge charged more than once."""
        people = [charge["person_id"] for charge in self.apollo.charges()]
        return len(people) - len(set(people))

    def end_leases(self) -> None:
        """End the leases of all workers."""
        self.rows(
            "UPDATE enrichment.provider_call SET lease_until = now() - interval '1 second' WHERE claim IS NOT NULL"
        )
