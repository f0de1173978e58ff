"""The queue of texts that wait for their vectors, of one tenant and kind: claim, put back, look.

Texts get in by the triggers of the tables that they come from (`embeddings.enqueue`). A worker holds what it claimed by
a lease, outside any transaction; `answers` writes vectors and the end of the job in one. While it has a job locked it
never waits for another, so it is in no deadlock with those who enqueue.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg

from cdp_platform.embeddings.kinds import Kind
from cdp_platform.embeddings.models import Model

LEASE_SECONDS = 60
MAX_ATTEMPTS = 5
"""A text that failed so often is dead: left alone until it changes or a person puts it back."""

PASSAGE_CHARACTERS = 20_000
"""As much of a text is kept for searches by its words."""


@dataclass(frozen=True, slots=True)
class Text:
    """One claimed job.

    Attributes:
        content: as much of the text as any live model or a passage takes.
        stale: the live models that have no vector of this text.
    """

    entity_id: str
    content: str
    stale: Sequence[int]


@dataclass
class Claim:
    """What a worker took in one turn.

    Attributes:
        claim_id: what its jobs carry while they are this worker's.
        day: when it was taken (UTC), whose budget it is on.
        jobs: how many were looked at.
        texts: those that need a vector, in order of arrival.
        unchanged: those that had their vectors, and are completed.
        emptied: those without a text any more, which are forgotten.
        dead: jobs of vanished workers that have failed too often now.
    """

    tenant_id: str
    kind: Kind
    claim_id: UUID
    day: date
    jobs: int = 0
    texts: list[Text] = field(default_factory=list)
    unchanged: int = 0
    emptied: int = 0
    dead: int = 0


def take(connection: psycopg.Connection, tenant_id: str, kind: Kind, models: Sequence[Model], *, at_most: int) -> Claim:
    """Claim the jobs that wait longest, inside the tenant's transaction; what needs no vector is done with at once.

    Args:
        connection: inside a transaction of the tenant that has locked no job.
        tenant_id: whose jobs.
        kind: of the texts.
        models: all that are live, at least one.
        at_most: how many jobs.
    """
    names = {"tenant_id": tenant_id, "kind": kind}
    claim = Claim(tenant_id, kind, uuid4(), datetime.now(UTC).date())
    claim.dead = _reclaim_expired(connection, names)
    ids = [
        entity_id
        for (entity_id,) in connection.execute(
            """
            SELECT entity_id FROM embeddings.embedding_job
            WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND status IN ('pending', 'failed')
              AND not_before <= now()
            ORDER BY arrival LIMIT %(at_most)s FOR UPDATE SKIP LOCKED
            """,
            {**names, "at_most": at_most},
        )
    ]
    claim.jobs = len(ids)
    if not ids:
        return claim
    longest = max(PASSAGE_CHARACTERS, *(model.max_characters for model in models))
    # A statement of its own: it sees every text that was committed before the job was locked. Scalar subqueries keep
    # it to index lookups: of a join, the planner might make the texts of all the tenant's rows.
    rows = connection.execute(
        """
        WITH text AS MATERIALIZED (
            SELECT w.entity_id, (
                SELECT t.content FROM embeddings.entity_text AS t
                WHERE t.tenant_id = %(tenant_id)s AND t.kind = %(kind)s AND t.entity_id = w.entity_id
            ) AS content
            FROM unnest(%(ids)s::text[]) AS w (entity_id)
        ), looked AS MATERIALIZED (
            SELECT entity_id, content, ARRAY(
                SELECT m.model_id FROM unnest(%(models)s::int[], %(sizes)s::int[]) AS m (model_id, max_characters)
                WHERE embeddings.text_hash(content, m.max_characters) IS DISTINCT FROM (
                    SELECT e.content_hash FROM embeddings.embedding AS e
                    WHERE e.tenant_id = %(tenant_id)s AND e.kind = %(kind)s AND e.model_id = m.model_id
                      AND e.entity_id = text.entity_id)
            ) AS stale
            FROM text
        ), unchanged AS (
            UPDATE embeddings.embedding_job SET status = 'completed', last_error = NULL, finished_at = now()
            WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = ANY (ARRAY(
                SELECT entity_id FROM looked WHERE content IS NOT NULL AND stale = '{}'))
        ), claimed AS (
            UPDATE embeddings.embedding_job
            SET status = 'processing', claim = %(claim)s, lease_until = now() + %(lease)s * interval '1 second'
            WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = ANY (ARRAY(
                SELECT entity_id FROM looked WHERE content IS NOT NULL AND stale <> '{}'))
        )
        SELECT entity_id, stale, left(content, %(longest)s) FROM looked
        WHERE content IS NULL OR stale <> '{}' OR left(content, %(passage)s) IS DISTINCT FROM (
            SELECT p.content FROM embeddings.passage AS p
            WHERE p.tenant_id = %(tenant_id)s AND p.kind = %(kind)s AND p.entity_id = looked.entity_id)
        """,
        {
            **names,
            "ids": ids,
            "models": [model.model_id for model in models],
            "sizes": [model.max_characters for model in models],
            "claim": claim.claim_id,
            "lease": LEASE_SECONDS,
            "longest": longest,
            "passage": PASSAGE_CHARACTERS,
        },
        binary=True,
    ).fetchall()
    claim.texts = [
        Text(entity_id, content, stale) for entity_id, stale, content in rows if content is not None and stale
    ]
    passages = {entity_id: content for entity_id, stale, content in rows if content is not None and not stale}
    gone = [entity_id for entity_id, _, content in rows if content is None]
    claim.emptied, claim.unchanged = len(gone), len(ids) - len(claim.texts) - len(gone)
    if passages:
        # Their ends are beyond what a model gets.
        connection.execute(
            """
            INSERT INTO embeddings.passage (tenant_id, kind, entity_id, content)
            SELECT %(tenant_id)s, %(kind)s, entity_id, left(content, %(passage)s)
            FROM unnest(%(ids)s::text[], %(contents)s::text[]) AS s (entity_id, content)
            ON CONFLICT (tenant_id, kind, entity_id) DO UPDATE SET content = excluded.content
            """,
            {
                **names,
                "passage": PASSAGE_CHARACTERS,
                "ids": list(passages),
                "contents": list(passages.values()),
            },
        )
    if gone:
        connection.execute("SELECT embeddings.forget(%s, %s, %s)", [tenant_id, kind, gone])
    return claim


def put_back(
    connection: psycopg.Connection, claim: Claim, entity_ids: Collection[str], *, until: datetime | None = None
) -> None:
    """Put claimed jobs back to their place, as if they had never been claimed, inside the tenant's transaction."""
    if entity_ids:
        connection.execute(
            """
            UPDATE embeddings.embedding_job
            SET status = 'pending', claim = NULL, lease_until = NULL, changed_meanwhile = false,
                attempts = CASE WHEN changed_meanwhile THEN 0 ELSE attempts END,
                not_before = coalesce(%s, not_before)
            WHERE tenant_id = %s AND kind = %s AND entity_id = ANY (%s) AND claim = %s
            """,
            [until, claim.tenant_id, claim.kind, list(entity_ids), claim.claim_id],
        )


def put_back_all(connection: psycopg.Connection, claim: Claim) -> None:
    """Put back what a claim still holds, inside the tenant's transaction; what somebody has locked, its lease ends."""
    put_back(connection, claim, held(connection, claim, [text.entity_id for text in claim.texts]))


def extend(connection: psycopg.Connection, claim: Claim) -> None:
    """Hold a claim for another lease, inside the tenant's transaction."""
    locked = held(connection, claim, [text.entity_id for text in claim.texts])
    connection.execute(
        """
        UPDATE embeddings.embedding_job SET lease_until = now() + %s * interval '1 second'
        WHERE tenant_id = %s AND kind = %s AND entity_id = ANY (%s)
        """,
        [LEASE_SECONDS, claim.tenant_id, claim.kind, list(locked)],
    )


def held(
    connection: psycopg.Connection, claim: Claim, entity_ids: Sequence[str], wait_for: str | None = None
) -> set[str]:
    """Lock those of the jobs that are still the claim's, inside the tenant's transaction.

    Jobs that somebody else has locked are left out; one may be waited for, as long as no other is locked.
    """
    query: LiteralString = """
        SELECT entity_id FROM embeddings.embedding_job
        WHERE tenant_id = %s AND kind = %s AND entity_id = ANY (%s) AND claim = %s
        FOR UPDATE
    """
    if wait_for is not None:
        connection.execute(query, [claim.tenant_id, claim.kind, [wait_for], claim.claim_id])
    rows = connection.execute(query + " SKIP LOCKED", [claim.tenant_id, claim.kind, entity_ids, claim.claim_id])
    return {entity_id for (entity_id,) in rows}


def counts(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> Counter[str]:
    """Jobs by status, inside the tenant's transaction."""
    rows = connection.execute(
        "SELECT status, count(*) FROM embeddings.embedding_job WHERE tenant_id = %s AND kind = %s GROUP BY status",
        [tenant_id, kind],
    ).fetchall()
    return Counter(dict(rows))


def waiting(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> int:
    """Jobs that wait, failed ones that will be tried again among them; inside the tenant's transaction."""
    row = connection.execute(
        "SELECT count(*) FROM embeddings.embedding_job"
        " WHERE tenant_id = %s AND kind = %s AND status IN ('pending', 'failed')",
        [tenant_id, kind],
    ).fetchone()
    return row[0] if row else 0


def oldest_waiting(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> datetime | None:
    """When the text that waits longest got into the queue, inside the tenant's transaction."""
    row = connection.execute(
        "SELECT min(enqueued_at) FROM embeddings.embedding_job"
        " WHERE tenant_id = %s AND kind = %s AND status IN ('pending', 'processing', 'failed')",
        [tenant_id, kind],
    ).fetchone()
    return row[0] if row else None


def count_vectors(connection: psycopg.Connection, tenant_id: str, kind: Kind, model_id: int) -> int:
    """Vectors of one model, inside the tenant's transaction."""
    row = connection.execute(
        "SELECT count(*) FROM embeddings.embedding WHERE tenant_id = %s AND kind = %s AND model_id = %s",
        [tenant_id, kind, model_id],
    ).fetchone()
    return row[0] if row else 0


def put_off(connection: psycopg.Connection, tenant_id: str, kind: Kind, until: datetime) -> None:
    """Let everything that waits wait until then, in its place, inside the tenant's transaction."""
    connection.execute(
        """
        UPDATE embeddings.embedding_job SET not_before = %(until)s
        WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND status IN ('pending', 'failed')
          AND not_before < %(until)s
        """,
        {"tenant_id": tenant_id, "kind": kind, "until": until},
    )


def retry(connection: psycopg.Connection, tenant_id: str, kind: Kind) -> int:
    """Put failed, dead and put-off jobs back to the end of the queue, inside the tenant's transaction; how many."""
    return connection.execute(
        """
        UPDATE embeddings.embedding_job
        SET status = 'pending', attempts = 0, not_before = now(), arrival = nextval('embeddings.arrival'),
            finished_at = NULL
        WHERE tenant_id = %s AND kind = %s
          AND (status IN ('failed', 'dead') OR status = 'pending' AND not_before > now())
        """,
        [tenant_id, kind],
    ).rowcount


def _reclaim_expired(connection: psycopg.Connection, names: Mapping[str, str]) -> int:
    """End the claims of workers that are gone; returns how many jobs are dead by that."""
    rows = connection.execute(
        """
        UPDATE embeddings.embedding_job
        SET status = CASE WHEN changed_meanwhile THEN 'pending'
                          WHEN attempts + 1 >= %(most)s THEN 'dead' ELSE 'failed' END,
            not_before = now(), last_error = 'its worker vanished',
            attempts = CASE WHEN changed_meanwhile THEN 0 ELSE attempts + 1 END,
            arrival = CASE WHEN changed_meanwhile THEN nextval('embeddings.arrival') ELSE arrival END,
            claim = NULL, lease_until = NULL, changed_meanwhile = false
        WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = ANY (ARRAY(
            SELECT entity_id FROM embeddings.embedding_job
            WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND status = 'processing' AND lease_until < now()
            FOR UPDATE SKIP LOCKED))
        RETURNING status
        """,
        {**names, "most": MAX_ATTEMPTS},
    ).fetchall()
    return rows.count(("dead",))
