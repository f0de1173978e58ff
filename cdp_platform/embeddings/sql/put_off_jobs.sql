UPDATE embeddings.embedding_job SET not_before = %(until)s
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND status IN ('pending', 'failed') AND not_before < %(until)s
