"""How far each tenant's texts are, what waits, and what it costs today."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import psycopg

from cdp_platform.embeddings import models, queue
from cdp_platform.embeddings.kinds import Kind
from cdp_platform.embeddings.models import Model
from cdp_platform.warehouse.connection import tenant_transaction


@dataclass(frozen=True)
class KindStatus:
    """The texts of one tenant and kind.

    Attributes:
        texts: how many there are.
        vectors: those that the active model has a vector of.
        pending: jobs that wait for their turn.
        processing: jobs that a worker holds.
        failed: jobs that will be tried again.
        dead: jobs that failed too often, and wait for their text to change or for `cdp embeddings retry`.
        oldest_waiting_at: since when the job waits that waits longest; None if none does.
        refusals: why jobs failed and how many did, the most frequent first.
    """

    tenant_id: str
    kind: Kind
    texts: int
    vectors: int
    pending: int
    processing: int
    failed: int
    dead: int
    oldest_waiting_at: datetime | None
    refusals: dict[str, int]

    @property
    def share(self) -> float:
        """Of the texts, those that have a vector: 0..1."""
        return self.vectors / self.texts if self.texts else 1.0


@dataclass(frozen=True)
class Spending:
    """What one tenant sent to one model today (UTC).

    Attributes:
        calls: requests.
        tokens: as the provider counts them.
        cost: in US dollars.
    """

    tenant_id: str
    model_id: int
    calls: int
    texts: int
    tokens: int
    cost: Decimal


def of_texts(connection: psycopg.Connection, tenant_ids: Iterable[str], active: Model) -> list[KindStatus]:
    """The status per tenant and kind that has texts or jobs."""
    found = []
    for tenant_id in tenant_ids:
        progress = {
            each.kind: each for each in models.progress(connection, [tenant_id]) if each.model_id == active.model_id
        }
        with tenant_transaction(connection, tenant_id):
            queued = connection.execute(
                "SELECT DISTINCT kind FROM embeddings.embedding_job WHERE tenant_id = %s", [tenant_id]
            ).fetchall()
            for kind in sorted({*progress, *(kind for (kind,) in queued)}):
                jobs = queue.counts(connection, tenant_id, kind)
                found.append(
                    KindStatus(
                        tenant_id=tenant_id,
                        kind=kind,
                        texts=progress[kind].texts if kind in progress else 0,
                        vectors=progress[kind].done if kind in progress else 0,
                        pending=jobs["pending"],
                        processing=jobs["processing"],
                        failed=jobs["failed"],
                        dead=jobs["dead"],
                        oldest_waiting_at=queue.oldest_waiting(connection, tenant_id, kind),
                        refusals=_refusals(connection, tenant_id, kind),
                    )
                )
    return found


def spent_today(connection: psycopg.Connection, tenant_ids: Iterable[str]) -> list[Spending]:
    """What was sent today, per tenant and model that anything was sent to."""
    today = datetime.now(UTC).date()
    found = []
    for tenant_id in tenant_ids:
        with tenant_transaction(connection, tenant_id):
            found += [
                Spending(tenant_id, *row)
                for row in connection.execute(
                    "SELECT model_id, calls, texts, tokens, cost FROM embeddings.usage"
                    " WHERE tenant_id = %s AND day = %s AND calls > 0 ORDER BY model_id",
                    [tenant_id, today],
                )
            ]
    return found


def _refusals(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> dict[str, int]:
    rows = connection.execute(
        """
        SELECT coalesce(last_error, 'unknown'), count(*) FROM embeddings.embedding_job
        WHERE tenant_id = %s AND kind = %s AND status IN ('failed', 'dead')
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5
        """,
        [tenant_id, kind],
    ).fetchall()
    return dict(rows)
