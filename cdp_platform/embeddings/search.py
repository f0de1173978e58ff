"""Search: by nearest vectors, and by vectors together with words.

Vectors find texts with the same meaning. Words find names, numbers and terms that a model does not know. `hybrid` ranks
by both and says why it found each entity.
"""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson
import psycopg

from cdp_platform.embeddings import models, usage
from cdp_platform.embeddings.calls import turn
from cdp_platform.embeddings.kinds import Kind
from cdp_platform.embeddings.models import Model
from cdp_platform.embeddings.providers import Opener
from cdp_platform.embeddings.usage import Sent
from cdp_platform.errors import ConfigurationError
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

if TYPE_CHECKING:
    import numpy as np

# Constant of reciprocal rank fusion, as Cormack, Clarke and Buettcher chose it (SIGIR 2009).
_RRF_K = 60
# Each ranking is read to at least this rank: an entity that is far down in both can be high in their sum.
_DEPTH = 50
_SNIPPET_CHARACTERS = 160
# A person waits no longer than this for a provider that asked for a rest.
_GATE_SECONDS = 5.0


@dataclass(frozen=True)
class Hit:
    """One entity that was found.

    Attributes:
        rank: place in the result, from 1.
        entity_id: unique within tenant and kind.
        score: sum of 1 / (60 + rank) over the two rankings.
        similarity: cosine with the query, -1 to 1; None if it has no vector.
        vector_rank: place among the nearest vectors; None if it is not one of them.
        word_rank: place among the entities that share words with the query; None if it shares none.
        words: words of the query that are in its text, in lower case and without accents.
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
    connection: psycopg.Connection, open_provider: Opener, tenant_id: str, kind: Kind, query: str, *, k: int
) -> list[Hit]:
    """The k entities that are most like a query in words, best first. The query's tokens are added to the usage.

    Raises:
        ConfigurationError: the query is empty, or no model is active.
        PlatformError: the provider of the active model does not embed the query (see `providers`), or is not to be
            called now.
    """
    if not query.strip():
        raise ConfigurationError("A search needs words to look for.")
    model = models.active(connection)
    query = query[: model.max_characters]
    provider = open_provider(model)
    with turn(connection, model, wait_seconds=_GATE_SECONDS):
        embedded = provider.embed([query], purpose="query")
    with tenant_transaction(connection, tenant_id):
        sent = Sent(calls=1, texts=1, tokens=embedded.tokens)
        usage.note(connection, tenant_id, model, datetime.now(UTC).date(), sent)
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

    Exact for a tenant with few vectors, and where the index may have missed some; otherwise approximate. It returns
    fewer than k only if the tenant has fewer.

    Args:
        connection: of the platform's role.
        tenant_id: whose entities.
        kind: of the entities.
        model: whose vectors.
        vector: is compared with theirs; of the model's dimensions.
        k: number of entities.
        exclude: entities to leave out.
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
    """`nearest` by comparing every vector of the tenant; inside the tenant's transaction."""
    return _nearest(connection, tenant_id, kind, model, vector, how="nearest_exact", k=k, exclude=exclude)


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
    """`nearest` by the index; inside the tenant's transaction.

    Returns nothing if there is no index, or if it may have missed some: see the function in 0029_purchase_texts.sql.
    """
    return _nearest(connection, tenant_id, kind, model, vector, how="nearest_by_index", k=k, exclude=exclude)


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
    """The k entities that are best by similarity of vectors and by words together, best first.

    An entity may have any of the words; more words rank it higher. Accents and case do not matter. An entity that is
    well placed in both rankings comes before one that is first in one ranking and missing in the other.

    Args:
        connection: of the platform's role.
        tenant_id: whose entities.
        kind: of the entities.
        model: whose vectors.
        query: in words.
        vector: of the query, by this model.
        k: number of entities.
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


def _nearest(
    connection: psycopg.Connection,
    tenant_id: str,
    kind: Kind,
    model: Model,
    vector: "np.ndarray",
    *,
    how: str,
    k: int,
    exclude: Collection[str],
) -> list[tuple[str, float]]:
    names = {"tenant_id": tenant_id, "kind": kind, "model_id": model.model_id}
    arguments = {**names, "vector": _text(vector), "k": k, "exclude": list(exclude)}
    return connection.execute(statement("embeddings", how), arguments, prepare=False).fetchall()


def _text(vector: "np.ndarray") -> str:
    # Takes a tenth of the time of pgvector's own adapter, which would be a tenth of a search.
    return orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _words(connection: psycopg.Connection, query: str) -> list[str]:
    """The words of a query in the form of the index, in their order."""
    rows = connection.execute(
        "SELECT lexeme FROM unnest(to_tsvector('simple', embeddings.folded(%s))) ORDER BY positions[1], lexeme", [query]
    ).fetchall()
    return [word for (word,) in rows]


def _any_of(words: Sequence[str]) -> str:
    """A tsquery that any of the words matches. The quotes keep a word from being an operator."""
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
        statement("embeddings", "hits"),
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
    """A part of a text around the first place where one of the words begins."""
    if len(content) <= _SNIPPET_CHARACTERS:
        return content
    folded, origins = _folded(content)
    places = [folded.find(word) for word in words]
    first = origins[min((place for place in places if place >= 0), default=0)]
    begin = max(0, min(first - _SNIPPET_CHARACTERS // 4, len(content) - _SNIPPET_CHARACTERS))
    end = begin + _SNIPPET_CHARACTERS
    return ("…" if begin else "") + content[begin:end].strip() + ("…" if end < len(content) else "")


def _folded(content: str) -> tuple[str, list[int]]:
    """The text as `embeddings.folded` makes it, and the place in the text of each of its characters."""
    characters, origins = [], []
    for place, character in enumerate(content):
        for part in unicodedata.normalize("NFD", character.lower()).replace("đ", "d"):
            if not "\u0300" <= part <= "\u036f":
                characters.append(part)
                origins.append(place)
    return "".join(characters), origins
