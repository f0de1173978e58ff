"""What is like a text or a vector: nearest vectors, and vectors together with words.

Vectors find what means the same, words find names, numbers and what a model does not know. `hybrid` ranks by both and
says why.
"""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson
import psycopg

from cdp_platform.embeddings import models, usage
from cdp_platform.embeddings.kinds import Kind
from cdp_platform.embeddings.models import Model
from cdp_platform.errors import ConfigurationError
from cdp_platform.settings import EmbeddingSettings
from cdp_platform.warehouse.connection import tenant_transaction

if TYPE_CHECKING:
    import numpy as np

# Reciprocal rank fusion: Cormack, Clarke and Buettcher, SIGIR 2009, who found 60.
_RRF_K = 60
# So deep each ranking is looked into, at least: who is far down in both may be high up in their sum.
_DEPTH = 50
_SNIPPET_CHARACTERS = 160


@dataclass(frozen=True)
class Hit:
    """One entity that was found.

    Attributes:
        rank: place in the result, from 1.
        entity_id: which one; unique within tenant and kind.
        score: sum of 1 / (60 + rank) over the two rankings.
        similarity: cosine with the query, -1..1; None if it has no vector.
        vector_rank: place among the nearest vectors; None if it is not one of them.
        word_rank: place among those that share words with the query; None if it does not.
        words: those words of the query that are in its text, in lower case and without accents.
        snippet: its text around the first of these words.
    """

    rank: int
    entity_id: str
    score: float
    similarity: float | None
    vector_rank: int | None
    word_rank: int | None
    words: list[str]
    snippet: str


def find(
    connection: psycopg.Connection, settings: EmbeddingSettings, tenant_id: str, kind: Kind, query: str, *, k: int
) -> list[Hit]:
    """The k entities that are most like a query in words, best first; what embedding it costs is in the ledger.

    Raises:
        ConfigurationError: the query is empty, or no model is active.
        PlatformError: the active model's provider does not embed it (see `providers`).
    """
    if not query.strip():
        raise ConfigurationError("A search needs words to look for.")
    model = models.active(connection)
    query = query[: model.max_characters]
    embedded = model.open(settings).embed([query], purpose="query")
    with tenant_transaction(connection, tenant_id):
        usage.note(connection, tenant_id, model, datetime.now(UTC).date(), calls=1, texts=1, tokens=embedded.tokens)
    (vector,) = embedded.vectors
    return hybrid(connection, tenant_id, kind, model, query, vector=vector, k=k)


def nearest(
    connection: psycopg.Connection,
    tenant_id: str,
    kind: Kind,
    model: Model,
    vector: "np.ndarray",
    *,
    k: int,
    exclude: Collection[str] = (),
) -> list[tuple[str, float]]:
    """The k entities whose vectors are nearest, with their cosine similarity, best first.

    Exact for a tenant of few vectors, and where the index is not sure to have found them; else approximate. Fewer than
    k come back only if the tenant has fewer.

    Args:
        connection: of the platform's role.
        tenant_id: whose entities.
        kind: of the entities.
        model: whose vectors.
        vector: what they are compared with, of the model's dimensions.
        k: how many.
        exclude: entities that are not wanted.
    """
    with tenant_transaction(connection, tenant_id):
        found = nearest_by_index(connection, tenant_id, kind, model, vector, k=k, exclude=exclude)
        if len(found) == k:
            return found
        return nearest_exact(connection, tenant_id, kind, model, vector, k=k, exclude=exclude)


def nearest_exact(
    connection: psycopg.Connection,
    tenant_id: str,
    kind: Kind,
    model: Model,
    vector: "np.ndarray",
    *,
    k: int,
    exclude: Collection[str] = (),
) -> list[tuple[str, float]]:
    """`nearest`, by comparing every vector of the tenant; inside the tenant's transaction."""
    # Of the bare column: the index, which is on the column cast to the model's dimensions, has no part in it.
    return connection.execute(
        """
        SELECT entity_id, 1 - (vector <=> %(vector)s::vector) AS similarity
        FROM (
            SELECT entity_id, vector FROM embeddings.embedding
            WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND model_id = %(model_id)s
              AND entity_id <> ALL (%(exclude)s)
            ORDER BY vector <=> %(vector)s::vector LIMIT %(k)s
        ) AS found
        ORDER BY similarity DESC, entity_id
        """,
        _arguments(tenant_id, kind, model, vector, k=k, exclude=exclude),
        prepare=False,
    ).fetchall()


def nearest_by_index(
    connection: psycopg.Connection,
    tenant_id: str,
    kind: Kind,
    model: Model,
    vector: "np.ndarray",
    *,
    k: int,
    exclude: Collection[str] = (),
) -> list[tuple[str, float]]:
    """`nearest`, by the index; inside the tenant's transaction.

    Nothing if there is no index, or if it is not sure to have found them: see the function in 0012_search.sql.
    """
    return connection.execute(
        "SELECT entity_id, similarity FROM embeddings.nearest_by_index("
        "%(tenant_id)s, %(kind)s, %(model_id)s, %(vector)s, %(k)s, %(exclude)s)",
        _arguments(tenant_id, kind, model, vector, k=k, exclude=exclude),
        prepare=False,
    ).fetchall()


def hybrid(
    connection: psycopg.Connection,
    tenant_id: str,
    kind: Kind,
    model: Model,
    query: str,
    *,
    vector: "np.ndarray",
    k: int,
) -> list[Hit]:
    """The k entities that are best by nearness of vectors and by words together, best first.

    Any word of the query counts, and more of them count more; accents and case do not. An entity that is first in one
    ranking and missing in the other is beaten by one that is well placed in both.

    Args:
        connection: of the platform's role.
        tenant_id: whose entities.
        kind: of the entities.
        model: whose vectors.
        query: its words.
        vector: of the query, by this model.
        k: how many.
    """
    depth = max(_DEPTH, 2 * k)
    with tenant_transaction(connection, tenant_id):
        by_vector = [entity_id for entity_id, _ in nearest(connection, tenant_id, kind, model, vector, k=depth)]
        words = _words(connection, query)
        by_words = [
            entity_id
            for (entity_id,) in connection.execute(
                "SELECT entity_id FROM embeddings.matches(%s, %s::tsquery, %s)", [kind, _any_of(words), depth]
            )
        ]
        scores: dict[str, float] = {}
        for ranking in (by_vector, by_words):
            for rank, entity_id in enumerate(ranking, start=1):
                scores[entity_id] = scores.get(entity_id, 0.0) + 1 / (_RRF_K + rank)
        best = sorted(scores, key=lambda entity_id: (-scores[entity_id], entity_id))[:k]
        details = _details(connection, tenant_id, kind, model, best, vector=vector, words=words)
    vector_ranks = {entity_id: rank for rank, entity_id in enumerate(by_vector, start=1)}
    word_ranks = {entity_id: rank for rank, entity_id in enumerate(by_words, start=1)}
    hits = []
    for rank, entity_id in enumerate(best, start=1):
        similarity, matched, content = details[entity_id]
        hits.append(
            Hit(
                rank=rank,
                entity_id=entity_id,
                score=scores[entity_id],
                similarity=similarity,
                vector_rank=vector_ranks.get(entity_id),
                word_rank=word_ranks.get(entity_id),
                words=[word for word in words if word in matched],
                snippet=_snippet(content, matched),
            )
        )
    return hits


def _arguments(
    tenant_id: str, kind: Kind, model: Model, vector: "np.ndarray", *, k: int, exclude: Collection[str]
) -> dict[str, object]:
    return {
        "tenant_id": tenant_id,
        "kind": kind,
        "model_id": model.model_id,
        "vector": _text(vector),
        "k": k,
        "exclude": list(exclude),
    }


def _text(vector: "np.ndarray") -> str:
    # A tenth of the time that pgvector's own takes, which is a tenth of a search.
    return orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _words(connection: psycopg.Connection, query: str) -> list[str]:
    """The words of a query as the index has them, in their order."""
    rows = connection.execute(
        "SELECT lexeme FROM unnest(to_tsvector('simple', embeddings.folded(%s))) ORDER BY positions[1], lexeme", [query]
    ).fetchall()
    return [word for (word,) in rows]


def _any_of(words: Sequence[str]) -> str:
    """A tsquery that any of the words matches. Quoted, a word is never an operator."""
    return " | ".join("'" + word.replace("\\", "\\\\").replace("'", "''") + "'" for word in words)


def _details(
    connection: psycopg.Connection,
    tenant_id: str,
    kind: Kind,
    model: Model,
    entity_ids: Sequence[str],
    *,
    vector: "np.ndarray",
    words: Sequence[str],
) -> dict[str, tuple[float | None, set[str], str]]:
    """Similarity, words of the query in the text, and the text, by entity."""
    rows = connection.execute(
        """
        SELECT f.entity_id, 1 - (e.vector <=> %(vector)s::vector),
               ARRAY(SELECT lexeme FROM unnest(p.words) WHERE lexeme = ANY (%(words)s)), coalesce(p.content, '')
        FROM unnest(%(entity_ids)s::text[]) AS f (entity_id)
        LEFT JOIN embeddings.embedding AS e
            ON e.tenant_id = %(tenant_id)s AND e.kind = %(kind)s AND e.model_id = %(model_id)s
            AND e.entity_id = f.entity_id
        LEFT JOIN embeddings.passage AS p
            ON p.tenant_id = %(tenant_id)s AND p.kind = %(kind)s AND p.entity_id = f.entity_id
        """,
        {
            "tenant_id": tenant_id,
            "kind": kind,
            "model_id": model.model_id,
            "vector": _text(vector),
            "words": list(words),
            "entity_ids": list(entity_ids),
        },
    ).fetchall()
    return {entity_id: (similarity, set(matched), content) for entity_id, similarity, matched, content in rows}


def _snippet(content: str, words: Collection[str]) -> str:
    """A piece of a text around the first place where one of the words begins."""
    if len(content) <= _SNIPPET_CHARACTERS:
        return content
    folded, origins = _folded(content)
    places = [folded.find(word) for word in words]
    first = origins[min((place for place in places if place >= 0), default=0)]
    begin = max(0, min(first - _SNIPPET_CHARACTERS // 4, len(content) - _SNIPPET_CHARACTERS))
    end = begin + _SNIPPET_CHARACTERS
    return ("…" if begin else "") + content[begin:end].strip() + ("…" if end < len(content) else "")


def _folded(content: str) -> tuple[str, list[int]]:
    """`embeddings.folded` of a text, and for each of its characters the place that it comes from."""
    characters, origins = [], []
    for place, character in enumerate(content):
        for part in unicodedata.normalize("NFD", character.lower()).replace("đ", "d"):
            if not "\u0300" <= part <= "\u036f":
                characters.append(part)
                origins.append(place)
    return "".join(characters), origins
