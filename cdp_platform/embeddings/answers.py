"""What came back for claimed texts: vectors and the end of their jobs, written in one transaction."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg

from cdp_platform.embeddings import queue
from cdp_platform.embeddings.models import Model
from cdp_platform.embeddings.queue import MAX_ATTEMPTS, PASSAGE_CHARACTERS, Claim, Text

if TYPE_CHECKING:
    import numpy as np


@dataclass(slots=True)
class Answer:
    """What became of one text: complete with a vector of each stale model, failed if one refused it, else put off.

    Attributes:
        refusal: the provider's words, without the text.
        refused_by: the model whose provider that was.
    """

    text: Text
    vectors: "dict[int, np.ndarray]" = field(default_factory=dict)
    refusal: str | None = None
    refused_by: Model | None = None

    def hash(self, model: Model) -> bytes:
        """Of as much of the text as the model gets; `embeddings.text_hash` in SQL."""
        return hashlib.sha256(self.text.content[: model.max_characters].encode()).digest()


@dataclass
class Settled:
    """What became of answers, in texts.

    Attributes:
        embedded: have their vectors.
        reopened: changed meanwhile, and are in the queue again.
        failed: wait for another attempt.
        dead: failed too often.
        lost: had been given to another worker, or are gone; nothing was written.
    """

    embedded: int = 0
    reopened: int = 0
    failed: int = 0
    dead: int = 0
    lost: int = 0


def settle(
    connection: psycopg.Connection,
    claim: Claim,
    answers: Sequence[Answer],
    models: Mapping[int, Model],
    *,
    put_off_until: datetime | None = None,
    wait_for: str | None = None,
) -> tuple[Settled, list[Answer]]:
    """Write vectors and the end of their jobs, inside the tenant's transaction.

    Args:
        connection: inside a transaction of the claim's tenant that has locked no other job.
        claim: that the answers are for.
        answers: no text twice.
        models: those that there are vectors of.
        put_off_until: when texts that are put off may be claimed again; None for at once.
        wait_for: an entity whose lock is worth waiting for. All others are left out if somebody else holds theirs.

    Returns:
        What became of them, and the answers that were left out.
    """
    locked = queue.held(connection, claim, [answer.text.entity_id for answer in answers], wait_for)
    ours = [answer for answer in answers if answer.text.entity_id in locked]
    left_out: list[Answer] = []
    if len(ours) < len(answers):
        others = [answer.text.entity_id for answer in answers if answer.text.entity_id not in locked]
        still_ours = _still_claimed(connection, claim, others)
        left_out = [answer for answer in answers if answer.text.entity_id in still_ours]
    settled = Settled(lost=len(answers) - len(ours) - len(left_out))
    if any(answer.vectors for answer in ours):
        _write(connection, claim, ours, models)
    complete, put_off, failed = [], [], []
    for answer in ours:
        if answer.refused_by is not None:
            failed.append((answer, answer.refused_by))
        elif len(answer.vectors) == len(answer.text.stale):
            complete.append(answer.text.entity_id)
        else:
            put_off.append(answer.text.entity_id)
    settled.reopened = _complete(connection, claim, complete)
    settled.embedded = len(complete)
    queue.put_back(connection, claim, put_off, until=put_off_until)
    for answer, model in failed:
        status = _fail(connection, claim, answer, model)
        settled.failed += status == "failed"
        settled.dead += status == "dead"
        settled.reopened += status == "pending"
    return settled, left_out


def _still_claimed(connection: psycopg.Connection, claim: Claim, entity_ids: Sequence[str]) -> set[str]:
    rows = connection.execute(
        "SELECT entity_id FROM embeddings.embedding_job"
        " WHERE tenant_id = %s AND kind = %s AND entity_id = ANY (%s) AND claim = %s",
        [claim.tenant_id, claim.kind, entity_ids, claim.claim_id],
    )
    return {entity_id for (entity_id,) in rows}


def _write(
    connection: psycopg.Connection, claim: Claim, answers: Sequence[Answer], models: Mapping[int, Model]
) -> None:
    """Upsert vectors of models that are still live, and passages."""
    live = connection.execute(
        # Held, so that nobody who retires a model misses a vector.
        "SELECT model_id FROM embeddings.embedding_model WHERE model_id = ANY (%s) AND state <> 'retired' FOR SHARE",
        [list(models)],
    ).fetchall()
    connection.execute(
        "CREATE TEMPORARY TABLE IF NOT EXISTS stage_embedding"
        " (entity_id text, model_id int, vector vector, content_hash bytea, content text) ON COMMIT DELETE ROWS"
    )
    copy = "COPY stage_embedding (entity_id, model_id, vector, content_hash, content) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(copy) as writer:
        # A vector goes as the bytes that it is sent as anyway.
        writer.set_types(["text", "int4", "bytea", "bytea", "text"])
        for (model_id,) in live:
            embedded = [answer for answer in answers if model_id in answer.vectors]
            vectors = _as_sent([answer.vectors[model_id] for answer in embedded])
            for answer, vector in zip(embedded, vectors, strict=True):
                text, digest = answer.text, answer.hash(models[model_id])
                writer.write_row((text.entity_id, model_id, vector, digest, text.content[:PASSAGE_CHARACTERS]))
    names = {"tenant_id": claim.tenant_id, "kind": claim.kind}
    connection.execute(
        """
        INSERT INTO embeddings.embedding (tenant_id, kind, entity_id, model_id, vector, content_hash)
        SELECT %(tenant_id)s, %(kind)s, entity_id, model_id, vector, content_hash FROM stage_embedding
        ON CONFLICT (tenant_id, kind, model_id, entity_id) DO UPDATE
        SET vector = excluded.vector, content_hash = excluded.content_hash, embedded_at = excluded.embedded_at
        """,
        names,
    )
    connection.execute(
        """
        INSERT INTO embeddings.passage AS p (tenant_id, kind, entity_id, content)
        SELECT DISTINCT ON (entity_id) %(tenant_id)s, %(kind)s, entity_id, content FROM stage_embedding
        ON CONFLICT (tenant_id, kind, entity_id) DO UPDATE SET content = excluded.content
        WHERE p.content IS DISTINCT FROM excluded.content
        """,
        names,
    )


def _as_sent(vectors: "Sequence[np.ndarray]") -> list[bytes]:
    """How pgvector receives a vector: the count of its numbers (int16), a zero (int16), big-endian float4s."""
    import numpy as np  # noqa: PLC0415 (heavy; definitions load without it)

    if not vectors:
        return []
    numbers = np.asarray(vectors, dtype=">f4")
    head = numbers.shape[1].to_bytes(2, "big") + b"\x00\x00"
    return [head + row.tobytes() for row in numbers]


def _complete(connection: psycopg.Connection, claim: Claim, entity_ids: Sequence[str]) -> int:
    """End the jobs; returns how many of them begin again."""
    if not entity_ids:
        return 0
    rows = connection.execute(
        """
        UPDATE embeddings.embedding_job
        SET status = CASE WHEN changed_meanwhile THEN 'pending' ELSE 'completed' END,
            finished_at = CASE WHEN changed_meanwhile THEN NULL ELSE now() END, last_error = NULL,
            attempts = CASE WHEN changed_meanwhile THEN 0 ELSE attempts END,
            arrival = CASE WHEN changed_meanwhile THEN nextval('embeddings.arrival') ELSE arrival END,
            claim = NULL, lease_until = NULL, changed_meanwhile = false
        WHERE tenant_id = %s AND kind = %s AND entity_id = ANY (%s)
        RETURNING status = 'pending'
        """,
        [claim.tenant_id, claim.kind, entity_ids],
        binary=True,
    ).fetchall()
    return rows.count((True,))


def _fail(connection: psycopg.Connection, claim: Claim, answer: Answer, model: Model) -> str:
    """Note that a model's provider refused a text; returns the job's status."""
    row = connection.execute(
        """
        UPDATE embeddings.embedding_job
        SET status = CASE WHEN changed_meanwhile THEN 'pending'
                          WHEN attempts + 1 >= %(most)s THEN 'dead' ELSE 'failed' END,
            not_before = CASE WHEN changed_meanwhile THEN now() ELSE now() + interval '1 minute' * 2 ^ attempts END,
            last_error = %(error)s, content_hash = %(hash)s, finished_at = NULL,
            attempts = CASE WHEN changed_meanwhile THEN 0 ELSE attempts + 1 END,
            arrival = CASE WHEN changed_meanwhile THEN nextval('embeddings.arrival') ELSE arrival END,
            claim = NULL, lease_until = NULL, changed_meanwhile = false
        WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = %(entity_id)s
        RETURNING status
        """,
        {
            "most": MAX_ATTEMPTS,
            "error": answer.refusal,
            "hash": answer.hash(model),
            "tenant_id": claim.tenant_id,
            "kind": claim.kind,
            "entity_id": answer.text.entity_id,
        },
    ).fetchone()
    return row[0] if row else ""
