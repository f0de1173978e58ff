"""Comparing texts and vectors: finds what changed without a trigger, and vectors whose texts are gone."""

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg

from cdp_platform.embeddings.kinds import KINDS, Kind
from cdp_platform.ops import erasure
from cdp_platform.warehouse.connection import tenant_transaction


@dataclass(frozen=True)
class ReconcileResult:
    """The result of a comparison of texts and vectors.

    Attributes:
        enqueued: texts without a vector of a live model, or with one of an older text.
        removed: entities without a text that had a vector or a job.
    """

    enqueued: int
    removed: int


def reconcile(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> ReconcileResult:
    """Compare all texts of one kind with their vectors, enqueue missing and stale ones, and remove what has no text."""
    with tenant_transaction(connection, tenant_id):
        erasure.while_nobody_is_erased(connection, tenant_id)
        row = connection.execute("SELECT * FROM embeddings.reconcile(%s, %s)", [tenant_id, kind]).fetchone()
    return ReconcileResult(*row) if row else ReconcileResult(0, 0)


def enqueue_missing(connection: psycopg.Connection, tenant_ids: Iterable[str]) -> int:
    """Reconcile all kinds of these tenants; returns the number of texts that were enqueued."""
    return sum(reconcile(connection, tenant_id, kind).enqueued for tenant_id in tenant_ids for kind in KINDS)
