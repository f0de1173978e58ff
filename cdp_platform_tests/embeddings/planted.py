"""Generated vectors, written fast."""

import numpy as np
import psycopg
from pgvector.psycopg import register_vector

from cdp_platform.embeddings.kinds import Kind
from cdp_platform.embeddings.models import Model
from cdp_platform.warehouse.connection import tenant_transaction


def clustered(count: int, dimensions: int, *, seed: int, clusters: int = 60, spread: float = 0.35) -> np.ndarray:
    """Vectors of length 1 around some centres, which are the same for every seed."""
    centres = np.random.default_rng(0).standard_normal((clusters, dimensions))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, dimensions)) / np.sqrt(dimensions)
    vectors = centres[rng.integers(clusters, size=count)] + spread * noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def plant(
    connection: psycopg.Connection,
    tenant_id: str,
    model: Model,
    vectors: np.ndarray,
    *,
    kind: Kind = "profile",
    first: int = 0,
) -> list[str]:
    """Entities `<tenant>-00000` and so on, or from another first number, with these vectors; returns their ids."""
    register_vector(connection)
    ids = [f"{tenant_id}-{number:05}" for number in range(first, first + len(vectors))]
    with tenant_transaction(connection, tenant_id):
        connection.execute("CREATE TEMPORARY TABLE planted (entity_id text, vector vector) ON COMMIT DROP")
        with connection.cursor().copy("COPY planted FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "vector"])
            for row in zip(ids, vectors, strict=True):
                copy.write_row(row)
        connection.execute(
            "INSERT INTO embeddings.embedding (tenant_id, kind, entity_id, model_id, vector, content_hash)"
            " SELECT %s, %s, entity_id, %s, vector, '' FROM planted",
            [tenant_id, kind, model.model_id],
        )
    return ids
