"""The approximate indexes of vectors (IVFFlat), one for each large tenant, kind and model.

An index divides the vectors of a tenant into lists around centres, which it finds when it is built. The number of lists
is the square root of the number of vectors, and at most 1,000. Vectors are in half precision. A tenant with few vectors
has no index: exact searches are as fast.
"""

import psycopg

from cdp_platform.embeddings.kinds import Kind
from cdp_platform.warehouse.connection import long_statements
from cdp_platform.warehouse.statements import statement

# To compare fewer vectors of a tenant one by one takes about as long as a search by an index.
WORTH_AN_INDEX = 10_000
# Enough for the largest index that fits a machine.
_BUILD_SECONDS = 4 * 3600


def build(connection: psycopg.Connection, kind: Kind, model_id: int, *, at_least: int = 1) -> int:
    """Build the missing indexes of tenants with at least ``at_least`` vectors; returns how many were built.

    A tenant gets a new index when it has four times as many vectors. Writers of vectors wait meanwhile, readers do not.
    """
    with long_statements(connection, seconds=_BUILD_SECONDS):
        row = connection.execute(
            "SELECT embeddings.build_vector_indexes(%s, %s, %s)", [kind, model_id, at_least]
        ).fetchone()
    return int(row[0]) if row else 0


def finish_load(connection: psycopg.Connection, kind: Kind, model_id: int) -> int:
    """Build missing indexes of large tenants, drop the indexes that they replace; returns how many were built.

    Args:
        connection: of the platform's role, outside a transaction.
        kind: of the texts.
        model_id: of the vectors.
    """
    built = build(connection, kind, model_id, at_least=WORTH_AN_INDEX)
    newest: set[str] = set()
    # The newest index of a tenant has the most lists, and comes first.
    for name in names(connection, kind, model_id):
        of_tenant = name.rpartition("_")[0]
        if of_tenant in newest:
            _drop_unless_in_use(connection, name)
        newest.add(of_tenant)
    return built


def drop(connection: psycopg.Connection, kind: Kind, model_id: int) -> None:
    """Drop all indexes of one kind and model. Searches are exact from then on."""
    for name in names(connection, kind, model_id):
        connection.execute("SELECT embeddings.drop_vector_index(%s)", [name])


def _drop_unless_in_use(connection: psycopg.Connection, name: str) -> None:
    try:
        with connection.transaction():
            # While this waits for its lock, all readers wait behind it. The next load tries again.
            connection.execute("SET LOCAL lock_timeout = '2s'")
            connection.execute("SELECT embeddings.drop_vector_index(%s)", [name])
    except psycopg.errors.LockNotAvailable:
        return


def names(connection: psycopg.Connection, kind: Kind, model_id: int) -> list[str]:
    """Names of the indexes of all tenants, those with the most lists first."""
    rows = connection.execute(statement("embeddings", "index_names"), {"kind": kind, "model_id": model_id}).fetchall()
    return [name for (name,) in rows]
