"""Which texts have vectors, which wait and why, and what was sent today."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import psycopg

from cdp_platform.embeddings import calls, jobs, usage
from cdp_platform.embeddings.coverage import coverage
from cdp_platform.embeddings.kinds import Kind
from cdp_platform.embeddings.models import Model
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class KindStatus:
    """The texts of one tenant and kind.

    Attributes:
        texts: number of texts.
        vectors: number of texts that have a vector of the active model.
        pending: number of texts that wait. One that changed twice since may be counted twice, here and below.
        processing: number of texts that a worker has claimed.
        failed: number of texts that will be tried again.
        dead: number of texts that failed too often, and wait for a change or for `cdp embeddings retry`.
        oldest_waiting_at: when the text that waits longest was enqueued; None if none waits.
        refusals: number of failed and dead texts by reason, the five most frequent ones.
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
        """Share of the texts that have a vector: 0 to 1."""
        return self.vectors / self.texts if self.texts else 1.0


@dataclass(frozen=True)
class SentToday:
    """The requests of one tenant to one model today (UTC).

    Attributes:
        calls: number of requests.
        tokens: as the provider counts them.
        cost: US dollars, at the model's price of now.
    """

    tenant_id: str
    model_id: int
    calls: int
    texts: int
    tokens: int
    cost: Decimal


def of_texts(connection: psycopg.Connection, tenant_ids: Iterable[str], active: Model) -> list[KindStatus]:
    """The status per tenant and kind that has texts, or had some that wait or failed."""
    found = []
    for tenant_id in tenant_ids:
        covered = {each.kind: each for each in coverage(connection, [tenant_id]) if each.model_id == active.model_id}
        with tenant_transaction(connection, tenant_id):
            queued = connection.execute(
                "SELECT kind FROM embeddings.text_batch WHERE tenant_id = %(tenant_id)s"
                " UNION SELECT kind FROM embeddings.embedding_job WHERE tenant_id = %(tenant_id)s",
                {"tenant_id": tenant_id},
            ).fetchall()
            for kind in sorted({*covered, *(kind for (kind,) in queued)}):
                counts = jobs.counts(connection, tenant_id, kind)
                found.append(
                    KindStatus(
                        tenant_id=tenant_id,
                        kind=kind,
                        texts=covered[kind].texts if kind in covered else 0,
                        vectors=covered[kind].done if kind in covered else 0,
                        **{status: counts[status] for status in ("pending", "processing", "failed", "dead")},
                        oldest_waiting_at=jobs.oldest_waiting(connection, tenant_id, kind),
                        refusals=_refusals(connection, tenant_id, kind),
                    )
                )
    return found


@dataclass(frozen=True)
class Pause:
    """A model whose provider is not called for now.

    Attributes:
        seconds: until it may be called again.
        reason: the provider's words, or why it failed.
    """

    model: Model
    seconds: float
    reason: str


def pauses(connection: psycopg.Connection, models: Iterable[Model]) -> list[Pause]:
    """Those of the models that are paused; outside any transaction."""
    found = ((model, calls.closed(connection, model)) for model in models)
    return [Pause(model, closed.seconds, closed.reason) for model, closed in found if closed is not None]


def sent_today(connection: psycopg.Connection, tenant_ids: Iterable[str], models: Iterable[Model]) -> list[SentToday]:
    """The requests of today, per tenant and model that got any."""
    by_id = {model.model_id: model for model in models}
    today = datetime.now(UTC).date()
    found = []
    for tenant_id in tenant_ids:
        with tenant_transaction(connection, tenant_id):
            rows = connection.execute(
                "SELECT model_id, calls, texts, tokens FROM embeddings.usage"
                " WHERE tenant_id = %s AND day = %s AND calls > 0 ORDER BY model_id",
                [tenant_id, today],
            ).fetchall()
        found += [SentToday(tenant_id, *row, cost=usage.cost(by_id[row[0]], row[3])) for row in rows]
    return found


def _refusals(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> dict[str, int]:
    names = {"tenant_id": tenant_id, "kind": kind}
    return dict(connection.execute(statement("embeddings", "refusals"), names).fetchall())
