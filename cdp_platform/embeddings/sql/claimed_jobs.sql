SELECT entity_id, changed_meanwhile FROM embeddings.embedding_job
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = ANY (%(ids)s) AND claim = %(claim)s
