"""Questions of the room's checks to a tenant's rows. The answers say nothing of a person."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

LATE_MINUTES = 60
"""A search is to be ready so long after its payment."""


@dataclass(frozen=True)
class LateSearch:
    """A search that is paid and not ready in time."""

    search_id: UUID
    status: str
    paid_at: datetime
    status_reason: str | None


@dataclass(frozen=True)
class Doubt:
    """Money and contacts in doubt, as answers were lost.

    Attributes:
        calls: whose answer was lost and whose charge nobody knows.
        credits: most that these calls can have been charged.
        held: contacts that wait for a decision.
    """

    calls: int
    credits: Decimal
    held: int


def late(connection: psycopg.Connection, tenant_id: str) -> list[LateSearch]:
    """Searches that are not ready in time, the oldest payment first."""
    values = {"tenant": tenant_id, "minutes": LATE_MINUTES}
    with tenant_transaction(connection, tenant_id), connection.cursor(row_factory=class_row(LateSearch)) as cursor:
        return cursor.execute(statement("enrichment", "late_searches"), values).fetchall()


def miscounted(connection: psycopg.Connection, tenant_id: str) -> list[UUID]:
    """Searches under way, or ended a day ago at most, whose counts are not those of their contacts."""
    with tenant_transaction(connection, tenant_id):
        rows = connection.execute(statement("enrichment", "miscounted_searches"), {"tenant": tenant_id}).fetchall()
    return [search_id for (search_id,) in rows]


def doubt(connection: psycopg.Connection, tenant_id: str) -> Doubt:
    """Money and contacts in doubt."""
    with tenant_transaction(connection, tenant_id), connection.cursor(row_factory=class_row(Doubt)) as cursor:
        found = cursor.execute(statement("enrichment", "doubt"), {"tenant": tenant_id}).fetchone()
    assert found is not None  # noqa: S101 (sums are one row)
    return found
