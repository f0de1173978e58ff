"""Profiles with vectors that a test chooses, written directly into the tables."""

from collections.abc import Sequence

import numpy as np
import psycopg

from cdp_platform.embeddings import models
from cdp_platform.embeddings.models import Model
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import tenant_transaction

DIMENSIONS = 64

_PROFILE = """
INSERT INTO customers.cdp_profiles
SELECT r.* FROM unnest(%s::text[]) AS id CROSS JOIN LATERAL jsonb_populate_record(NULL::customers.cdp_profiles,
    (SELECT jsonb_object_agg(attname, '[]'::jsonb) FROM pg_attribute
     WHERE attrelid = 'customers.cdp_profiles'::regclass AND atttypid = 'jsonb'::regtype)
    || jsonb_build_object('tenant_id', %s::text, 'profile_id', id, 'status', 'active', 'segments', %s::jsonb,
        'document_hash', '', 'synced_at', now())) AS r
"""


def axis(number: int) -> np.ndarray:
    """A direction that is orthogonal to those of other numbers."""
    return np.eye(DIMENSIONS)[number]


def around(centre: np.ndarray, count: int, *, spread: float = 0.3, seed: int = 0) -> np.ndarray:
    """Vectors of length 1 around a direction; with a large spread they have any direction."""
    noise = np.random.default_rng(seed).normal(size=(count, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    vectors = centre / np.linalg.norm(centre) + spread * noise
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class People:
    """Tenants whose profiles have vectors of one active model."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        connection.execute(
            "INSERT INTO embeddings.embedding_model (provider, name, dimensions, max_characters, state)"
            " VALUES ('local', 'planted', %s, 1000, 'active')",
            [DIMENSIONS],
        )
        self.model: Model = models.active(connection)
        for tenant_id in ("acme", "other"):
            tenants.add(connection, tenant_id, arango_database=tenant_id)

    def join(
        self,
        prefix: str,
        vectors: np.ndarray | Sequence[None],
        *,
        segment: str | None = None,
        content: str = "nothing",
        tenant_id: str = "acme",
    ) -> list[str]:
        """Profiles `prefix0000` and so on, with these vectors; without any where it is None."""
        ids = [f"{prefix}{number:04}" for number in range(len(vectors))]
        segments = "[]" if segment is None else f'[{{"id": "{segment}", "name": "of {segment}"}}]'
        with tenant_transaction(self.connection, tenant_id):
            self.connection.execute(_PROFILE, [ids, tenant_id, segments])
            for entity_id, vector in zip(ids, vectors, strict=True):
                if vector is not None:
                    self.connection.execute(
                        "INSERT INTO embeddings.embedding (tenant_id, kind, entity_id, model_id, vector, content_hash)"
                        " VALUES (%s, 'profile', %s, %s, %s::float4[]::vector, '')",
                        [tenant_id, entity_id, self.model.model_id, vector.tolist()],
                    )
                    self.connection.execute(
                        "INSERT INTO embeddings.passage (tenant_id, kind, entity_id, content)"
                        " VALUES (%s, 'profile', %s, %s)",
                        [tenant_id, entity_id, content.format(number=entity_id)],
                    )
        return ids

    def forget(self, profile_id: str) -> None:
        with tenant_transaction(self.connection, "acme"):
            self.connection.execute("SELECT embeddings.forget('acme', 'profile', %s)", [[profile_id]])

    def change(self, statement: str) -> None:
        with tenant_transaction(self.connection, "acme"):
            self.connection.execute(statement)

    def rows(self, query: str, tenant_id: str = "acme") -> dict[str, tuple]:
        """The other columns by the first one."""
        with tenant_transaction(self.connection, tenant_id):
            return {row[0]: row[1:] for row in self.connection.execute(query).fetchall()}
