"""What the catalogue holds of an ingestor, and what its rounds add up to."""

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
class Live:
    """Rows of an organization that are not tombstoned."""

    organization_id: str
    name: str
    brands: int
    categories: int
    groups: int
    products: int
    offers: int


@dataclass
class Figures:
    """Rounds of one ingestor added up: organizations and brands of its registry, or items of its feeds."""

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
    def of(cls, rounds: Iterable[FeedRound], held: Sequence[Live]) -> Self:
        """The rounds of one run. Of a feed that was as it was last taken, all that is live is unchanged."""
        found = cls()
        for each in rounds:
            for name in (column.name for column in fields(cls)):
                value = getattr(each, name)
                if isinstance(value, int):
                    setattr(found, name, getattr(found, name) + value)
                else:
                    getattr(found, name).update(value)
            if each.outcome == UNCHANGED:
                found.unchanged += _items(each, held)
        return found


def live(connection: psycopg.Connection, ingestor: Ingestor) -> list[Live]:
    """What is there of each organization that the ingestor's registry lists."""
    values = {"tenant": ingestor.tenant, "ingestor": ingestor.name}
    with tenant_transaction(connection, ingestor.tenant), connection.cursor(row_factory=class_row(Live)) as cursor:
        return cursor.execute(statement("catalog", "held"), values).fetchall()


def _items(found: FeedRound, held: Sequence[Live]) -> int:
    if found.organization_id == REGISTRY:
        return len(held) + sum(each.brands for each in held)
    return sum(each.groups + each.products for each in held if each.organization_id == found.organization_id)
