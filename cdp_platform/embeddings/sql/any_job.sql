SELECT FROM embeddings.embedding_job WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s LIMIT 1
