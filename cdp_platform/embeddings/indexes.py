"""The approximate indexes of vectors (IVFFlat), one for each large tenant, kind and model.

An index divides a tenant's vectors into lists, as many as the square root of their number, about centres that it finds
when it is built. A tenant of few vectors has none: its searches are exact, and as fast.
"""

import psycopg

from cdp_platform.embeddings.kinds import Kind
from cdp_platform.warehouse.connection import long_statements

# Fewer vectors of a tenant are compared one by one in about the time that an index takes.
WORTH_AN_INDEX = 10_000
# Of the largest index that fits a machine.
_BUILD_SECONDS = 4 * 3600


def build(connection: psycopg.Connection, kind: Kind, model_id: int, *, at_least: int = 1) -> int:
    """Build the missing indexes of all tenants with at least so many vectors; returns how many were built.

    A tenant whose vectors have become four times as many gets a new one. Writers of vectors wait meanwhile, readers
    don't.
    """
    with long_statements(connection, seconds=_BUILD_SECONDS):
        row = connection.execute(
            "SELECT embeddings.build_vector_indexes(%s, %s, %s)", [kind, model_id, at_least]
        ).fetchone()
    return int(row[0]) if row else 0


def finish_load(connection: psycopg.Connection, kind: Kind, model_id: int) -> int:
    """Build the indexes that are missing and worth having, drop those that they replace; returns how many were built.

    Args:
        connection: of the platform's role, outside a transaction.
        kind: of the texts.
        model_id: of the vectors.
    """
    built = build(connection, kind, model_id, at_least=WORTH_AN_INDEX)
    newest: set[str] = set()
    # Those of most lists first.
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
            # All readers queue behind a lock that is waited for. The next load tries again.
            connection.execute("SET LOCAL lock_timeout = '2s'")
            connection.execute("SELECT embeddings.drop_vector_index(%s)", [name])
    except psycopg.errors.LockNotAvailable:
        return


def names(connection: psycopg.Connection, kind: Kind, model_id: int) -> list[str]:
    """The indexes of all tenants, those of most lists first."""
    rows = connection.execute(
        """
        SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE i.indrelid = 'embeddings.embedding'::regclass AND i.indisvalid
          AND starts_with(c.relname, format('vectors_%%s_%%s_', %s::text, %s::int))
        ORDER BY split_part(c.relname, '_', 5)::int DESC
        """,
        [kind, model_id],
    ).fetchall()
    return [name for (name,) in rows]
