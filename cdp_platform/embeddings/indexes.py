"""The approximate index of the vectors of one kind and model (HNSW), and when it is worth having.

It is a partial index over all tenants. Without it a search is exact, and for few vectors that is faster too. A vector
costs several times more to insert into the index than in building it anew, so a large load goes without it.
"""

from typing import LiteralString

import psycopg

from cdp_platform.embeddings.kinds import Kind

# Fewer vectors than this are searched faster without an index than an index is worth.
WORTH_AN_INDEX = 5_000
# A backlog below this is inserted in seconds, whatever the index.
LARGE_BACKLOG = 2_000
# Inserting a vector into the index takes about this many times the work of building the index over it.
_LIVE_TO_BUILD = 5


def operand(dimensions: int) -> LiteralString:
    """The type that the index compares: pgvector takes no more than 2,000 dimensions at full precision."""
    return "vector" if dimensions <= 2_000 else "halfvec"


def exists(connection: psycopg.Connection, kind: Kind, model_id: int) -> bool:
    """Whether there is an index that searches can use; one that is being built is none yet."""
    row = connection.execute(
        """
        SELECT EXISTS (
            SELECT FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
            WHERE i.indrelid = 'embeddings.embedding'::regclass AND i.indisvalid
              AND c.relname = embeddings.vector_index(%s, %s)
        )
        """,
        [kind, model_id],
    ).fetchone()
    return bool(row and row[0])


def build(connection: psycopg.Connection, kind: Kind, model_id: int) -> None:
    """Build the index, if there is none. Writers of vectors wait meanwhile, readers don't."""
    connection.execute("SELECT embeddings.build_vector_index(%s, %s)", [kind, model_id])


def drop(connection: psycopg.Connection, kind: Kind, model_id: int) -> None:
    """Drop the index, if there is one. Searches are exact from then on."""
    connection.execute("SELECT embeddings.drop_vector_index(%s, %s)", [kind, model_id])


def prepare_load(connection: psycopg.Connection, kind: Kind, model_id: int, backlog: int) -> bool:
    """Drop the index ahead of a load that is cheaper without it; returns whether it was dropped.

    Not while the model is paused, nor for texts that wait for another model only: nothing would be loaded.

    Args:
        connection: of the platform's role, outside a transaction.
        kind: of the texts.
        model_id: of the vectors.
        backlog: texts of this kind that wait, of all tenants that the load is for.
    """
    if backlog < LARGE_BACKLOG or not exists(connection, kind, model_id) or _is_paused(connection, model_id):
        return False
    backlog = _waiting(connection, kind, model_id, backlog)
    if backlog < LARGE_BACKLOG:
        return False
    # Live costs LIVE * backlog, without the index held + backlog.
    enough = (_LIVE_TO_BUILD - 1) * backlog
    if _figure(connection, "SELECT embeddings.vectors_up_to(%s, %s, %s)", kind, model_id, enough) >= enough:
        return False
    try:
        with connection.transaction():
            # Whoever waits for this lock makes all readers behind wait too; the load works with the index as well.
            connection.execute("SET LOCAL lock_timeout = '2s'")
            drop(connection, kind, model_id)
    except psycopg.errors.LockNotAvailable:
        return False
    return True


def finish_load(connection: psycopg.Connection, kind: Kind, model_id: int) -> bool:
    """Build the index where it is absent and worth having; returns whether it was built.

    A large backlog, of whichever tenant, had rather go on without it.
    """
    if exists(connection, kind, model_id):
        return False
    held = _figure(connection, "SELECT embeddings.vectors_up_to(%s, %s, %s)", kind, model_id, WORTH_AN_INDEX)
    if held < WORTH_AN_INDEX:
        return False
    if _waiting(connection, kind, model_id, LARGE_BACKLOG) >= LARGE_BACKLOG:
        return False
    build(connection, kind, model_id)
    return True


def _waiting(connection: psycopg.Connection, kind: Kind, model_id: int, at_most: int) -> int:
    return _figure(connection, "SELECT embeddings.waiting_up_to(%s, %s, %s)", kind, model_id, at_most)


def _is_paused(connection: psycopg.Connection, model_id: int) -> bool:
    query = "SELECT count(*) FROM embeddings.embedding_model WHERE model_id = %s AND paused_until > now()"
    return _figure(connection, query, model_id) > 0


def _figure(connection: psycopg.Connection, query: LiteralString, *arguments: object) -> int:
    row = connection.execute(query, arguments).fetchone()
    return int(row[0]) if row else 0
