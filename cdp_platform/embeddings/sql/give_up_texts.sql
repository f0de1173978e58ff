INSERT INTO embeddings.embedding_job AS j (tenant_id, kind, entity_id, status, attempts, last_error)
SELECT %(tenant_id)s, %(kind)s, entity_id, 'dead', %(most)s, %(error)s FROM unnest(%(ids)s::text[]) AS entity_id
ORDER BY entity_id
ON CONFLICT (tenant_id, kind, entity_id) DO UPDATE
SET status = 'dead', attempts = excluded.attempts, last_error = excluded.last_error, content_hash = NULL
