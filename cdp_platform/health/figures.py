"""What the tables say of each tenant's sources, queues, spending and effects now, for alerts and metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import psycopg
from psycopg.rows import class_row

from cdp_platform.customers import profiles, transactions
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.statements import statement

Name: TypeAlias = Literal["read_age", "rejected", "failed_texts", "queued", "queue_age", "spent", "effects"]

SOURCES = (profiles.COLLECTION, transactions.COLLECTION)
"""The collections that every tenant with a LEO CDP has."""

# Tenants whose answers are on their way together.
_AT_ONCE = 200


@dataclass(frozen=True)
class Figure:
    """One figure of one tenant.

    Attributes:
        tenant_id: the tenant.
        name: ``read_age`` (seconds since a source was read to its end, or since the tenant was added), ``rejected``
            (documents that wait), ``failed_texts`` (texts without a vector), ``queued`` and ``queue_age`` (what waits
            to be done now, and seconds since the first came), ``spent`` (today in UTC), ``effects`` (those that did
            not end well yet).
        room: whose figure it is; '' of documents, whose source is the subject.
        subject: source, kind of text, unit of money, or state of effects, as the name needs it.
        value: the figure.
    """

    tenant_id: str
    name: Name
    room: str
    subject: str
    value: float


@dataclass(frozen=True)
class Breaker:
    """An outside account that is not called now because it failed repeatedly.

    Attributes:
        gate: account and kind of call.
        reason: of the last failure.
        openings: how often it opened since the last answer.
    """

    gate: str
    reason: str
    openings: int


def of_tenants(connection: psycopg.Connection, tenants: Sequence[Tenant]) -> list[Figure]:
    """The figures of these tenants, each read as that tenant, in one transaction and a few round trips.

    Args:
        connection: of the platform's role, outside any transaction.
        tenants: whose.
    """
    query = statement("health", "tenant_figures")
    sources = {"sources": list(SOURCES)}
    found: list[Figure] = []
    with connection.transaction(), connection.cursor() as cursor:
        for start in range(0, len(tenants), _AT_ONCE):
            part = tenants[start : start + _AT_ONCE]
            with connection.pipeline():
                cursors = []
                for tenant in part:
                    cursor.execute("SELECT set_config('app.tenant_id', %s, true)", [tenant.tenant_id])
                    cursors.append(connection.execute(query, {**sources, "tenant": tenant.tenant_id}, prepare=True))
            for tenant, rows in zip(part, cursors, strict=True):
                found += [Figure(tenant.tenant_id, *row) for row in rows]
    return found


def open_breakers(connection: psycopg.Connection) -> list[Breaker]:
    """The breakers that are open now, or whose probe is under way."""
    with connection.cursor(row_factory=class_row(Breaker)) as cursor:
        return cursor.execute(
            "SELECT name AS gate, coalesce(reason, '') AS reason, openings FROM ops.gate WHERE open_until IS NOT NULL"
            " ORDER BY name"
        ).fetchall()
