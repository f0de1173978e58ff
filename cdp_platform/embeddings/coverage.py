"""How many texts have vectors of each live model."""

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg

from cdp_platform.embeddings.kinds import Kind
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class Coverage:
    """The texts of one tenant and kind, for one model.

    Attributes:
        texts: number of texts.
        done: those that have a vector, also one of an older version of the text.
        given_up: those without one that failed or are dead.
    """

    tenant_id: str
    kind: Kind
    model_id: int
    texts: int
    done: int
    given_up: int

    @property
    def missing(self) -> int:
        """Texts that wait for their first vector."""
        return self.texts - self.done - self.given_up


def coverage(connection: psycopg.Connection, tenant_ids: Iterable[str]) -> list[Coverage]:
    """One entry per tenant, kind that has texts, and live model."""
    found = []
    for tenant_id in tenant_ids:
        with tenant_transaction(connection, tenant_id):
            # Row-level security hides from the planner how many rows there are; a nested loop over texts takes hours.
            connection.execute("SET LOCAL enable_nestloop = off")
            rows = connection.execute(statement("embeddings", "coverage"), {"tenant_id": tenant_id}).fetchall()
        found += [Coverage(tenant_id, *row) for row in rows]
    return found


def vectors(connection: psycopg.Connection, tenant_id: str, kind: Kind, model_id: int) -> int:
    """Number of vectors of one model."""
    with tenant_transaction(connection, tenant_id):
        row = connection.execute(
            "SELECT count(*) FROM embeddings.embedding WHERE tenant_id = %s AND kind = %s AND model_id = %s",
            [tenant_id, kind, model_id],
        ).fetchone()
    return row[0] if row else 0
