"""Settling texts: vectors, passages and failures are written in one transaction, and with the last ones the claim ends.

The row that a text is made of is locked until the transaction ends. If the row is another version than the one that was
read, its text is compared with the one that was embedded. So an older text never takes the place of a newer one, and an
entity that is gone gets no vector, however many workers and writers are at work: a change waits for this transaction,
and comes with a batch of its own. Of what else a text has, as the name of a product, the nightly comparison takes care.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.types.numeric import Int4

from cdp_platform.embeddings import jobs
from cdp_platform.embeddings.jobs import Claim, Text
from cdp_platform.embeddings.kinds import SOURCES, texts_of
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

    def content_hash(self) -> bytes:
        """The hash of the text as it was claimed."""
        return hashlib.sha256(self.text.content.encode()).digest()

    def hash(self, model: Model) -> bytes:
        """The hash of the text as this model gets it; `embeddings.text_hash` in SQL."""
        return hashlib.sha256(self.text.content[: model.max_characters].encode()).digest()


@dataclass
class SettleResult:
    """The result of a settlement, in texts.

    Attributes:
        embedded: have their vectors.
        changed: are another text by now, or gone; nothing was written. A changed text is in another batch.
        failed: wait for another attempt.
        dead: failed too often.
        lost: another worker has the claim now; nothing was written.
    """

    embedded: int = 0
    changed: int = 0
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
    """Write vectors and failures, inside the tenant's transaction.

    Args:
        connection: inside a transaction of the claim's tenant that has locked no text.
        claim: that the answers are for. Texts without all answers are noted in its ``again``.
        answers: no text twice.
        models: those that there are vectors of.
        put_off_until: when texts that are to be sent again may be claimed; None for at once.
        wait_for: the one entity whose row is waited for. Others are left out if their rows are locked.

    Returns:
        What became of them, and the answers that were left out.
    """
    if not claim.is_held(connection):
        return SettleResult(lost=len(answers)), []
    ids = [answer.text.entity_id for answer in answers]
    if wait_for is not None:
        _lock(connection, claim, [wait_for], sql.SQL(""))
    locked = _lock(connection, claim, ids, sql.SQL(" SKIP LOCKED"))
    others = [answer for answer in answers if locked.get(answer.text.entity_id) != answer.text.version]
    # A statement of its own: it sees every change that was committed before the row was locked.
    hashes = _hashes(connection, claim, [answer.text.entity_id for answer in others])
    left_out = [answer for answer in others if answer.text.entity_id in hashes.keys() - locked.keys()]
    changed = {
        answer.text.entity_id for answer in others if hashes.get(answer.text.entity_id) != answer.content_hash()
    } | {answer.text.entity_id for answer in left_out}
    same = [answer for answer in answers if answer.text.entity_id not in changed]
    result = SettleResult(changed=len(answers) - len(same) - len(left_out))
    _write_vectors(connection, claim, [answer for answer in same if answer.vectors], models)
    complete = []
    for answer in same:
        entity_id = answer.text.entity_id
        if answer.refusal is not None and answer.refused_by is not None:
            content_hash = answer.hash(answer.refused_by)
            status = jobs.refuse(connection, claim, entity_id, answer.refusal, content_hash)
            result.failed += status == "failed"
            result.dead += status == "dead"
        elif len(answer.vectors) == len(answer.text.stale):
            complete.append(answer.text)
        else:
            claim.again[entity_id] = put_off_until
    jobs.complete(connection, claim, complete)
    passages = {
        answer.text.entity_id: answer.text.content for answer in same if answer.vectors or not answer.text.stale
    }
    write_passages(connection, claim.tenant_id, claim.kind, passages)
    result.embedded = sum(bool(text.stale) for text in complete)
    return result, left_out


def _lock(connection: psycopg.Connection, claim: Claim, entity_ids: Sequence[str], how: sql.SQL) -> dict[str, int]:
    """Lock the rows that texts are made of against changes; returns the versions of those that are locked."""
    source, key = SOURCES[claim.kind]
    lock_rows = statement("embeddings", "lock_rows").format(source=source, key=key)
    rows = connection.execute(lock_rows + how, {"tenant_id": claim.tenant_id, "ids": entity_ids}, binary=True)
    return dict(rows.fetchall())


def _hashes(connection: psycopg.Connection, claim: Claim, entity_ids: Sequence[str]) -> dict[str, bytes]:
    """The hashes of the texts as they are now, cut as the claim cut them. None of an entity without a text."""
    if not entity_ids:
        return {}
    rows = connection.execute(
        statement("embeddings", "hash_texts").format(texts=texts_of(claim.kind)),
        {"tenant_id": claim.tenant_id, "ids": entity_ids, "longest": claim.longest},
        binary=True,
    )
    return dict(rows.fetchall())


def _write_vectors(
    connection: psycopg.Connection, claim: Claim, answers: Sequence[Answer], models: Mapping[int, Model]
) -> None:
    """Upsert the vectors of models that are still live."""
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
        for (model_id,) in live:
            embedded = [answer for answer in answers if model_id in answer.vectors]
            vectors = _binary([answer.vectors[model_id] for answer in embedded])
            for answer, vector in zip(embedded, vectors, strict=True):
                content_hash = answer.hash(models[model_id])
                # Values say their types, as `set_types` would have bytes encoded in Python.
                writer.write_row((answer.text.entity_id, Int4(model_id), vector, content_hash))
    connection.execute(statement("embeddings", "merge_vectors"), {"tenant_id": claim.tenant_id, "kind": claim.kind})


def _binary(vectors: "Sequence[np.ndarray]") -> list[bytes]:
    """The vectors in pgvector's binary form: number of dimensions (int16), zero (int16), big-endian float4s."""
    import numpy as np  # noqa: PLC0415 (heavy; definitions load without it)

    if not vectors:
        return []
    numbers = np.asarray(vectors, dtype=">f4")
    head = numbers.shape[1].to_bytes(2, "big") + b"\x00\x00"
    return [head + row.tobytes() for row in numbers]
