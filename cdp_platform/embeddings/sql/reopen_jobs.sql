UPDATE embeddings.embedding_job
SET status = 'pending', attempts = 0, arrival = nextval('embeddings.arrival'), last_error = NULL,
    claim = NULL, lease_until = NULL, changed_meanwhile = false
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = ANY (%(ids)s)
