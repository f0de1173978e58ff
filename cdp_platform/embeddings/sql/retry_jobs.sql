UPDATE embeddings.embedding_job
SET status = 'pending', attempts = 0, not_before = now(), arrival = nextval('embeddings.arrival'), finished_at = NULL
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s
  AND (status IN ('failed', 'dead') OR status = 'pending' AND not_before > now())
