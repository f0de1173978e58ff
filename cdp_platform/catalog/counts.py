"""How many live rows the catalogue has of an ingestor, and the totals of its rounds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Self

import psycopg
from psycopg.rows import class_row

from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.rounds import REGISTRY, UNCHANGED, FeedRound
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class LiveRows:
    """Numbers of live rows of an organization."""

    organization_id: str
    name: str
    brands: int
    categories: int
    groups: int
    products: int
    offers: int


@dataclass
class RoundTotals:
    """Sums over rounds of one ingestor: of organizations and brands of its registry, or of items of its feeds."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    gone: int = 0
    rejected: int = 0
    shards: int = 0
    bytes: int = 0
    rejected_by_code: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, rounds: Iterable[FeedRound], live: Sequence[LiveRows]) -> Self:
        """Add up the rounds of one run; an unchanged round counts all live items as unchanged."""
        found = cls()
        for each in rounds:
            for name in (column.name for column in fields(cls)):
                value = getattr(each, name)
                if isinstance(value, int):
                    setattr(found, name, getattr(found, name) + value)
                else:
                    getattr(found, name).update(value)
            if each.outcome == UNCHANGED:
                found.unchanged += _items(each, live)
        return found


def live_rows(connection: psycopg.Connection, ingestor: Ingestor) -> list[LiveRows]:
    """The numbers of live rows of each organization that the ingestor's registry lists."""
    values = {"tenant": ingestor.tenant, "ingestor": ingestor.name}
    with tenant_transaction(connection, ingestor.tenant), connection.cursor(row_factory=class_row(LiveRows)) as cursor:
        return cursor.execute(statement("catalog", "live_rows"), values).fetchall()


def _items(found: FeedRound, live: Sequence[LiveRows]) -> int:
    if found.organization_id == REGISTRY:
        return len(live) + sum(each.brands for each in live)
    return sum(each.groups + each.products for each in live if each.organization_id == found.organization_id)
