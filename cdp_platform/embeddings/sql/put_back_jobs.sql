UPDATE embeddings.embedding_job
SET status = 'pending', not_before = coalesce(%(until)s, not_before), claim = NULL, lease_until = NULL
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = ANY (%(ids)s) AND status = 'processing'
