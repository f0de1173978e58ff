SELECT entity_id FROM embeddings.embedding_job
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND status IN ('pending', 'failed') AND not_before <= now()
ORDER BY arrival LIMIT %(at_most)s FOR UPDATE SKIP LOCKED
