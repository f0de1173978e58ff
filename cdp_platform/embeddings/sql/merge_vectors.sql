INSERT INTO embeddings.embedding (tenant_id, kind, entity_id, model_id, vector, content_hash)
SELECT %(tenant_id)s, %(kind)s, entity_id, model_id, vector, content_hash FROM stage_embedding
ON CONFLICT (tenant_id, kind, model_id, entity_id) DO UPDATE
SET vector = excluded.vector, content_hash = excluded.content_hash, embedded_at = excluded.embedded_at
