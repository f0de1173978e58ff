"""Settling a batch: its vectors and the ends of its jobs are written in one transaction."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg

from cdp_platform.embeddings import jobs
from cdp_platform.embeddings.jobs import Claim, Text
from cdp_platform.embeddings.models import Model
from cdp_platform.embeddings.texts import write_passages
from cdp_platform.warehouse.statements import statement

if TYPE_CHECKING:
    import numpy as np


@dataclass(slots=True)
class Answer:
    """The answers of providers for one text.

    It is complete with a vector of each stale model, refused if one provider refused it, otherwise to be sent again.

    Attributes:
        vectors: by model.
        refusal: the provider's words, without the text; None if no provider refused it.
        refused_by: the model whose provider refused it.
    """

    text: Text
    vectors: "dict[int, np.ndarray]" = field(default_factory=dict)
    refusal: str | None = None
    refused_by: Model | None = None

    def hash(self, model: Model) -> bytes:
        """The hash of the text as this model gets it; `embeddings.text_hash` in SQL."""
        return hashlib.sha256(self.text.content[: model.max_characters].encode()).digest()


@dataclass
class SettleResult:
    """The result of a settlement, in texts.

    Attributes:
        embedded: have their vectors.
        reopened: changed meanwhile, and are in the queue again.
        failed: wait for another attempt.
        dead: failed too often.
        lost: another worker has them now, or they are gone; nothing was written.
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
) -> tuple[SettleResult, list[Answer]]:
    """Write vectors and the ends of their jobs, inside the tenant's transaction.

    Args:
        connection: inside a transaction of the claim's tenant that has locked no other job.
        claim: that the answers are for.
        answers: no text twice.
        models: those that there are vectors of.
        put_off_until: when texts that are to be sent again may be claimed; None for at once.
        wait_for: the one entity whose job is waited for. Others are left out if their jobs are locked.

    Returns:
        What became of them, and the answers that were left out.
    """
    locked = jobs.lock(connection, claim, [answer.text.entity_id for answer in answers], wait_for=wait_for)
    ours = [answer for answer in answers if answer.text.entity_id in locked]
    left_out: list[Answer] = []
    if len(ours) < len(answers):
        others = [answer.text.entity_id for answer in answers if answer.text.entity_id not in locked]
        still_ours = jobs.still_claimed(connection, claim, others)
        left_out = [answer for answer in answers if answer.text.entity_id in still_ours]
    result = SettleResult(lost=len(answers) - len(ours) - len(left_out))
    _write_vectors(connection, claim, [answer for answer in ours if answer.vectors], models)
    result.reopened = len(jobs.reopen(connection, claim.tenant_id, claim.kind, locked))
    complete, put_back = [], []
    for answer in ours:
        entity_id = answer.text.entity_id
        if answer.refusal is not None and answer.refused_by is not None:
            content_hash = answer.hash(answer.refused_by)
            status = jobs.refuse(connection, claim, entity_id, answer.refusal, content_hash)
            result.failed += status == "failed"
            result.dead += status == "dead"
        elif len(answer.vectors) == len(answer.text.stale):
            complete.append(entity_id)
        else:
            put_back.append(entity_id)
    jobs.complete(connection, claim, complete)
    jobs.put_back(connection, claim, put_back, until=put_off_until)
    result.embedded = len(complete)
    return result, left_out


def _write_vectors(
    connection: psycopg.Connection, claim: Claim, answers: Sequence[Answer], models: Mapping[int, Model]
) -> None:
    """Upsert the vectors of models that are still live, and the passages."""
    if not answers:
        return
    live = connection.execute(
        # Locked, so that `models.retire` deletes these vectors as well.
        "SELECT model_id FROM embeddings.embedding_model WHERE model_id = ANY (%s) AND state <> 'retired' FOR SHARE",
        [list(models)],
    ).fetchall()
    connection.execute(statement("embeddings", "stage_vectors"))
    copy = "COPY stage_embedding (entity_id, model_id, vector, content_hash) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(copy) as writer:
        # PostgreSQL gets a vector in the bytes of its own binary form, for which psycopg has no type.
        writer.set_types(["text", "int4", "bytea", "bytea"])
        for (model_id,) in live:
            embedded = [answer for answer in answers if model_id in answer.vectors]
            vectors = _binary([answer.vectors[model_id] for answer in embedded])
            for answer, vector in zip(embedded, vectors, strict=True):
                writer.write_row((answer.text.entity_id, model_id, vector, answer.hash(models[model_id])))
    connection.execute(statement("embeddings", "merge_vectors"), {"tenant_id": claim.tenant_id, "kind": claim.kind})
    passages = {answer.text.entity_id: answer.text.content for answer in answers}
    write_passages(connection, claim.tenant_id, claim.kind, passages)


def _binary(vectors: "Sequence[np.ndarray]") -> list[bytes]:
    """The vectors in pgvector's binary form: number of dimensions (int16), zero (int16), big-endian float4s."""
    import numpy as np  # noqa: PLC0415 (heavy; definitions load without it)

    if not vectors:
        return []
    numbers = np.asarray(vectors, dtype=">f4")
    head = numbers.shape[1].to_bytes(2, "big") + b"\x00\x00"
    return [head + row.tobytes() for row in numbers]
