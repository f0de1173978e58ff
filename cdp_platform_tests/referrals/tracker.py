"""Writes officers, campaigns, links, clicks and signups as the tracker application does."""

import itertools
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from cdp_platform import settings
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import connect, tenant_transaction

MOMENT = datetime(2026, 3, 5, 12, tzinfo=UTC)


@dataclass
class Tracker:
    """Writes for one tenant, which has officer-1, campaign-1 and link-1 from the start."""

    connection: psycopg.Connection
    tenant: Tenant
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def begin(self) -> None:
        self.officer("officer-1", full_name="Lan Nguyen")
        self.campaign("campaign-1", name="Spring")
        self.link("link-1")

    def officer(self, officer_id: str, **values: Any) -> str:
        return self.write("officer", officer_id=officer_id, **{"full_name": officer_id, **values})

    def campaign(self, campaign_id: str, **values: Any) -> str:
        defaults = {"name": campaign_id, "starts_at": datetime(2026, 1, 1, tzinfo=UTC)}
        return self.write("campaign", campaign_id=campaign_id, **(defaults | values))

    def link(self, link_id: str, *, officer: str = "officer-1", campaign: str = "campaign-1") -> str:
        return self.write(
            "referral_link",
            referral_link_id=link_id,
            officer_id=officer,
            campaign_id=campaign,
            full_link=f"https://example.com/?ref={link_id}",
            ref_code=link_id,
        )

    def click(self, *, at: datetime = MOMENT, link: str = "link-1", event_id: str = "", **values: Any) -> str:
        event_id = event_id or f"click-{next(self.numbers)}"
        return self.write("click_event", click_event_id=event_id, referral_link_id=link, occurred_at=at, **values)

    def signup(
        self,
        *,
        at: datetime = MOMENT,
        link: str = "link-1",
        click: str | None = None,
        event_id: str = "",
        **values: Any,
    ) -> str:
        event_id = event_id or f"signup-{next(self.numbers)}"
        ids = {"signup_event_id": event_id, "click_event_id": click, "referral_link_id": link}
        return self.write("signup_event", **ids, occurred_at=at, **values)

    def write(self, table: str, **values: Any) -> str:
        """Insert a row, or change the one that has its key; returns the key."""
        names = ["tenant_id", *values]
        key = names[1]
        statement = sql.SQL(
            "INSERT INTO referrals.{} ({}) VALUES ({}) ON CONFLICT (tenant_id, {}) DO UPDATE SET {}"
        ).format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join(sql.Placeholder() * len(names)),
            sql.Identifier(key),
            sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names),
        )
        with tenant_transaction(self.connection, self.tenant.tenant_id):
            self.connection.execute(statement, [self.tenant.tenant_id, *values.values()])
        return str(values[key])

    def execute(self, statement: Any, values: Any = None) -> int:
        with tenant_transaction(self.connection, self.tenant.tenant_id):
            return self.connection.execute(statement, values).rowcount

    def rows(self, statement: Any, values: Any = None) -> list[Any]:
        with tenant_transaction(self.connection, self.tenant.tenant_id):
            return self.connection.execute(statement, values).fetchall()

    def clear(self) -> None:
        """Delete all events and what was computed from them."""
        for table in ("click_event", "signup_event", "daily_metrics", "touched_quarter", "metrics_zone"):
            self.execute(f"DELETE FROM referrals.{table}")

    @contextmanager
    def another(self) -> Generator["Tracker"]:
        """The same tenant's tracker on a connection of its own."""
        with connect(settings.postgres()) as connection:
            yield replace(self, connection=connection)
