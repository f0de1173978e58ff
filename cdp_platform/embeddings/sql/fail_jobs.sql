UPDATE embeddings.embedding_job
SET status = CASE WHEN attempts + 1 >= %(most)s THEN 'dead' ELSE 'failed' END, attempts = attempts + 1,
    not_before = now() + %(wait)s * 2 ^ attempts, last_error = %(error)s, finished_at = NULL,
    content_hash = coalesce(%(content_hash)s, content_hash),
    claim = NULL, lease_until = NULL
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = ANY (%(ids)s) AND status = 'processing'
RETURNING status
