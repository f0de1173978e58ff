UPDATE embeddings.embedding_job
SET status = 'completed', finished_at = now(), last_error = NULL, claim = NULL, lease_until = NULL
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = ANY (%(ids)s) AND status = 'processing'
