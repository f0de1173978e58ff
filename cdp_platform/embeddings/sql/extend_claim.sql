UPDATE embeddings.embedding_job SET lease_until = now() + %(lease)s
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = ANY (%(ids)s)
