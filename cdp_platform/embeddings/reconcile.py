"""Finding what no trigger saw: texts whose vector is missing or stale, and vectors that belong to nothing."""

from dataclasses import dataclass

import psycopg

from cdp_platform.embeddings.kinds import Kind
from cdp_platform.ops import erasure
from cdp_platform.warehouse.connection import tenant_transaction


@dataclass(frozen=True)
class Reconciled:
    """What a comparison of texts and vectors found.

    Attributes:
        enqueued: texts that lacked a vector of a live model, or had one of an older text.
        removed: entities without a text that had a vector or a job.
    """

    enqueued: int
    removed: int


def reconcile(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> Reconciled:
    """Compare all texts of one kind with their vectors, enqueue what is behind, and remove what belongs to nothing."""
    with tenant_transaction(connection, tenant_id):
        erasure.while_nobody_is_erased(connection, tenant_id)
        row = connection.execute("SELECT * FROM embeddings.reconcile(%s, %s)", [tenant_id, kind]).fetchone()
    return Reconciled(*row) if row else Reconciled(0, 0)
