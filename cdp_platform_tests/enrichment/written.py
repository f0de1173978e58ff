"""Rows of the room as a test writes them: searches, contacts, calls and answers in whatever state."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

from cdp_platform.warehouse.connection import tenant_transaction

PRICE = "0.10"


def hash_of(address: str) -> bytes:
    """A question's hash; these rows need no salt."""
    return hashlib.sha256(address.encode()).digest()


@dataclass(frozen=True)
class Written:
    """The rows of one tenant."""

    connection: psycopg.Connection
    tenant_id: str

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with tenant_transaction(self.connection, self.tenant_id):
            cursor = self.connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def insert(self, table: str, **columns: Any) -> None:
        values = {name: Jsonb(each) if isinstance(each, dict) else each for name, each in columns.items()}
        names, places = ", ".join(values), ", ".join(["%s"] * len(values))
        self.rows(
            f"INSERT INTO enrichment.{table} (tenant_id, {names}) VALUES (%s, {places})",
            self.tenant_id,
            *values.values(),
        )

    def search(self, *, phones: bool = False) -> UUID:
        """A search that is being enriched."""
        search_id = uuid4()
        self.insert("search", search_id=search_id, name="s", price=3, currency="USD", credit_price=PRICE, phones=phones)
        for before, after in (("preview", "paid"), ("paid", "enriching")):
            assert self.rows("SELECT enrichment.move_search(%s, %s, %s, %s)", self.tenant_id, search_id, before, after)
        return search_id

    def contact(self, search_id: UUID, address: str, *, outcome: str = "waiting", **fields: Any) -> str:
        """A contact that came with an address, with fields that were answered."""
        ((line,),) = self.rows("SELECT count(*) + 1 FROM enrichment.contact WHERE search_id = %s", search_id)
        contact_id = f"{search_id}:{line:09}"
        self.insert(
            "contact",
            contact_id=contact_id,
            search_id=search_id,
            line=line,
            given={"email": address},
            question={"email": address},
            question_hash=hash_of(address),
            email=address,
            outcome=outcome,
        )
        self.fields(contact_id, **fields)
        return contact_id

    def fields(self, contact_id: str, *, at: str = "2026-11-01", **fields: Any) -> None:
        for name, value in fields.items():
            self.insert(
                "contact_field",
                contact_id=contact_id,
                field=name,
                value=Jsonb(value),
                source="apollo",
                answered_at=at,
            )

    def call(
        self,
        search_id: UUID,
        addresses: Sequence[str],
        *,
        account: str = "account",
        state: str = "unknown",
        phones: bool = False,
        answers: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> UUID:
        """A call about these people, whose credits are reserved, an hour ago."""
        call_id = uuid4()
        worst = len(addresses) * (9 if phones else 1)
        self.insert(
            "provider_call",
            call_id=call_id,
            search_id=search_id,
            provider="apollo",
            account=account,
            personal_emails=False,
            phones=phones,
            people=len(addresses),
            spend_day="2026-11-30",
            credits_reserved=worst,
            **columns,
        )
        self.rows(
            "UPDATE enrichment.search SET credits_reserved = credits_reserved + %s WHERE search_id = %s",
            worst,
            search_id,
        )
        for unit, amount in (("credits", worst), ("USD", worst * float(PRICE))):
            self.rows(
                "INSERT INTO enrichment.spend AS s (tenant_id, account, day, unit, amount)"
                " VALUES (%s, 'apollo', '2026-11-30', %s, %s)"
                " ON CONFLICT (tenant_id, account, day, unit) DO UPDATE SET amount = s.amount + excluded.amount",
                self.tenant_id,
                unit,
                amount,
            )
        for place, address in enumerate(addresses, start=1):
            self.insert("call_question", call_id=call_id, place=place, question_hash=hash_of(address))
            self.insert(
                "answer",
                provider="apollo",
                question_hash=hash_of(address),
                personal_emails=False,
                phones=phones,
                state="asked",
                call_id=call_id,
                addresses=[address],
            )
        if state != "reserved":
            self.move(call_id, "handed_over")
        if state in {"unknown", "confirmed", "failed"}:
            self.move(call_id, state)
        return call_id

    def move(self, call_id: UUID, state: str) -> None:
        """The next state of a call, an hour ago."""
        column = "handed_over_at" if state == "handed_over" else "settled_at"
        self.rows(
            f"UPDATE enrichment.provider_call SET state = %s, {column} = now() - interval '1 hour' WHERE call_id = %s",
            state,
            call_id,
        )
