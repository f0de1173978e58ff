"""Tenants whose profiles have texts that a test writes, and a provider that records its calls and can fail."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import psycopg

from cdp_platform.embeddings import jobs, models, worker
from cdp_platform.embeddings.kinds import Kind
from cdp_platform.embeddings.models import Model
from cdp_platform.embeddings.providers import Embedded, Provider
from cdp_platform.embeddings.worker import DrainResult
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Warehouse
from cdp_sandbox.openai.vectors import count_tokens, embed

DIMENSIONS = 16

INSERT = """
INSERT INTO customers.cdp_profiles
SELECT r.* FROM unnest(%s::text[], %s::text[]) AS t (id, content)
CROSS JOIN LATERAL jsonb_populate_record(NULL::customers.cdp_profiles,
    (SELECT jsonb_object_agg(attname, '[]'::jsonb) FROM pg_attribute
     WHERE attrelid = 'customers.cdp_profiles'::regclass AND atttypid = 'jsonb'::regtype)
    || jsonb_build_object('tenant_id', %s::text, 'profile_id', id, 'status', 'active', 'living_location', content,
        'document_hash', '', 'synced_at', now())) AS r
ON CONFLICT (tenant_id, profile_id) DO UPDATE
SET living_location = excluded.living_location, closed_at = NULL, closed_reason = NULL
"""

_STATES = """
SELECT entity_id, status FROM embeddings.embedding_job WHERE kind = 'profile' AND status <> 'pending'
UNION
SELECT unnest(entity_ids), CASE WHEN claim IS NULL THEN 'pending' ELSE 'processing' END
FROM embeddings.text_batch WHERE kind = 'profile'
"""
_ATTEMPTS = """
SELECT entity_id, max(attempts) FROM (
    SELECT entity_id, attempts FROM embeddings.embedding_job WHERE kind = 'profile'
    UNION ALL SELECT unnest(entity_ids), attempts FROM embeddings.text_batch WHERE kind = 'profile'
) AS found GROUP BY 1
"""


@dataclass
class Recorder:
    """A provider in this process, with the vectors of OpenAI's stand-in; `disturb` is called first, and may raise."""

    disturb: Callable[[Sequence[str]], object] = lambda _texts: None
    batches: list[list[str]] = field(default_factory=list)
    dimensions: int = DIMENSIONS
    max_characters: int = 1_000

    def embed(self, texts: Sequence[str], *, purpose: str) -> Embedded:
        assert purpose == "document"
        self.batches.append(list(texts))
        self.disturb(texts)
        return Embedded(np.array([embed(text, self.dimensions) for text in texts]), sum(map(count_tokens, texts)))

    @property
    def texts(self) -> list[str]:
        """All that was sent, in order."""
        return [text for batch in self.batches for text in batch]


def once(what: Callable[[], object]) -> Callable[[Sequence[str]], None]:
    """Do something at the first call only."""
    todo = [what]

    def disturb(_texts: Sequence[str]) -> None:
        if todo:
            todo.pop()()

    return disturb


def within(seconds: float, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.01)


@dataclass
class Tenant:
    """One tenant's profiles by their texts."""

    warehouse: Warehouse
    connection: psycopg.Connection
    tenant_id: str

    def write(self, texts: Mapping[str, str]) -> None:
        """Upsert profiles with these texts, in this order."""
        with tenant_transaction(self.connection, self.tenant_id):
            self.connection.execute(INSERT, [list(texts), list(texts.values()), self.tenant_id])

    def change(self, statement: str, *arguments: Any) -> int:
        with tenant_transaction(self.connection, self.tenant_id):
            return self.connection.execute(statement.encode(), arguments).rowcount

    def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        with tenant_transaction(self.connection, self.tenant_id):
            return self.connection.execute(query.encode(), arguments).fetchall()

    def close(self, *entity_ids: str) -> None:
        self.change(
            "UPDATE customers.cdp_profiles SET closed_at = now(), closed_reason = 'removed'"
            " WHERE profile_id = ANY (%s)",
            list(entity_ids),
        )

    def delete(self, *entity_ids: str) -> None:
        self.change("DELETE FROM customers.cdp_profiles WHERE profile_id = ANY (%s)", list(entity_ids))

    def texts(self) -> dict[str, str]:
        return dict(
            self.rows(
                "SELECT entity_id, content FROM embeddings.entity_text WHERE kind = 'profile' AND content IS NOT NULL"
            )
        )

    def states(self) -> dict[str, str]:
        """By entity: pending, processing, failed or dead."""
        return dict(self.rows(_STATES))

    def attempts(self) -> dict[str, int]:
        """By entity that waits or failed: how often a provider refused it, or its worker vanished."""
        return dict(self.rows(_ATTEMPTS))

    def fail(self, entity_id: str, status: str, *, attempts: int, error: str = "", hours: int = 0) -> None:
        """As if a provider had refused the text so often, and the next attempt were due in some hours."""
        self.change(
            "INSERT INTO embeddings.embedding_job"
            " (tenant_id, kind, entity_id, status, attempts, last_error, not_before, content_hash)"
            " SELECT tenant_id, kind, entity_id, %s, %s, %s, now() + make_interval(hours => %s),"
            " embeddings.text_hash(content, 1000) FROM embeddings.profile_texts WHERE entity_id = %s",
            *(status, attempts, error, hours, entity_id),
        )
        self.change("SELECT embeddings.leave_out_of_batches(%s, 'profile', %s)", self.tenant_id, [entity_id])

    def vanish(self, *, seconds: int = -1) -> int:
        """As if a worker had claimed all batches and vanished; its leases end in some seconds."""
        return self.change(
            "UPDATE embeddings.text_batch"
            " SET claim = gen_random_uuid(), lease_until = now() + make_interval(secs => %s)",
            seconds,
        )

    def enqueue(self, *entity_ids: str) -> None:
        self.change("SELECT embeddings.enqueue(%s, 'profile', %s)", self.tenant_id, list(entity_ids))

    def expire_leases(self) -> int:
        return self.change(
            "UPDATE embeddings.text_batch SET lease_until = now() - interval '1 second' WHERE claim IS NOT NULL"
        )

    def let_time_pass(self) -> None:
        """End all leases, and make all texts due."""
        self.expire_leases()
        for table in ("text_batch", "embedding_job"):
            self.change(
                f"UPDATE embeddings.{table} SET not_before = now() - interval '1 second' WHERE not_before > now()"
            )

    def retry(self) -> int:
        with tenant_transaction(self.connection, self.tenant_id):
            return jobs.retry(self.connection, self.tenant_id, "profile")

    def vectors(self, model: Model) -> dict[str, np.ndarray]:
        found = self.rows(
            "SELECT entity_id, vector::float4[] FROM embeddings.embedding WHERE kind = 'profile' AND model_id = %s",
            model.model_id,
        )
        return {entity_id: np.array(vector) for entity_id, vector in found}

    def require_right(self, model: Model) -> None:
        """Every text has its vector and its passage, nothing else has one, and nothing waits or failed."""
        texts, vectors = self.texts(), self.vectors(model)
        assert vectors.keys() == texts.keys()
        for entity_id, text in texts.items():
            expected = embed(text[: model.max_characters], model.dimensions)
            assert np.allclose(vectors[entity_id], expected, atol=1e-6), entity_id
        passages = self.rows("SELECT entity_id, content FROM embeddings.passage WHERE kind = 'profile'")
        assert dict(passages) == {entity_id: text[:20_000] for entity_id, text in texts.items()}
        assert self.states() == {}

    def usage(self) -> tuple[int, int, int, Decimal]:
        """Calls, texts and tokens of all models and days, and the US dollars that are spent or reserved."""
        (row,) = self.rows(
            "SELECT coalesce(sum(calls), 0)::int, coalesce(sum(texts), 0)::int, coalesce(sum(tokens), 0)::int,"
            " (SELECT coalesce(sum(amount), 0) FROM embeddings.spend) FROM embeddings.usage"
        )
        return row


@dataclass
class Desk:
    """A warehouse with a model and tenants, and runs of the worker for them."""

    warehouse: Warehouse
    app: psycopg.Connection
    model: Model = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.add_model("text-embedding-3-small", "active")

    def connect(self) -> AbstractContextManager[psycopg.Connection]:
        return connect(self.warehouse.settings)

    def add_model(self, name: str, state: str, **columns: Any) -> Model:
        given = {"provider": "openai", "name": name, "dimensions": DIMENSIONS, "max_characters": 1_000, "state": state}
        given |= columns
        self.app.execute(
            f"INSERT INTO embeddings.embedding_model ({', '.join(given)})"
            f" VALUES ({', '.join(['%s'] * len(given))})".encode(),
            list(given.values()),
        )
        return next(model for model in models.known(self.app) if model.name == name)

    def price(self, per_million_tokens: str) -> None:
        self.app.execute("UPDATE embeddings.embedding_model SET price_per_million_tokens = %s", [per_million_tokens])

    def tenant(self, tenant_id: str = "acme") -> Tenant:
        tenants.add(self.app, tenant_id, arango_database=tenant_id)
        return Tenant(self.warehouse, self.app, tenant_id)

    def drain(
        self,
        provider: Provider,
        *tenants: Tenant,
        kind: Kind = "profile",
        batch_size: int = 64,
        **options: Any,
    ) -> DrainResult:
        """One run; returns the result of the first tenant."""
        given: dict[str, Any] = {"open_provider": lambda _model: provider, "batch_size": batch_size}
        names = [tenant.tenant_id for tenant in tenants]
        return worker.drain(self.connect, names, kind, **given | options)[names[0]]

    def rests(self) -> list[tuple[float, int]]:
        """Seconds until each model may be called again, and how often in a row its gate opened."""
        return self.app.execute(
            "SELECT extract(epoch FROM greatest(rests_until, open_until) - now())::float8, openings FROM ops.gate"
        ).fetchall()

    def wait(self, time: timedelta = timedelta(hours=1)) -> None:
        """As if this time had passed for the gates of models."""
        self.app.execute(
            "UPDATE ops.gate SET rests_until = rests_until - %(time)s, open_until = open_until - %(time)s,"
            " probe_until = probe_until - %(time)s",
            {"time": time},
        )

    def counts(self, tenant: Tenant) -> dict[str, int]:
        with tenant_transaction(self.app, tenant.tenant_id):
            return dict(jobs.counts(self.app, tenant.tenant_id, "profile"))
