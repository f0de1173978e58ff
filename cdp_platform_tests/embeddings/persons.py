"""What this room keeps of a person: rows of each store, where {p} is the person's key."""

_TEXTS = [{"kind": "profile", "entity_id": "{p}"}, {"kind": "transaction", "entity_id": "e1-{p}"}]

BEFORE = {"embeddings.embedding_model": [{"provider": "local", "name": "planted", "state": "active"}]}
ALLOWED = {"embeddings.embedding_job": {"status": "failed"}, "embeddings.text_batch": {"entity_ids": ["p"]}}
STORES = {
    "embeddings.text_batch": [{"kind": text["kind"], "entity_ids": [text["entity_id"]]} for text in _TEXTS],
    "embeddings.embedding_job": _TEXTS,
    "embeddings.embedding": [{"model_id": 1, **text} for text in _TEXTS],
    "embeddings.passage": [{"content": "of {p}", **text} for text in _TEXTS],
    "embeddings.lookalike_audience": [{"profile_id": "{p}"}],
    "embeddings.profile_cluster": [{"profile_id": "{p}"}],
}
IMPERSONAL = {"embeddings.embedding_model", "embeddings.spend", "embeddings.usage"}
