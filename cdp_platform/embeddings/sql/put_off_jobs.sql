UPDATE embeddings.embedding_job SET not_before = %(until)s
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = ANY (ARRAY(
    SELECT entity_id FROM embeddings.embedding_job
    WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND status = 'failed' AND not_before < %(until)s
    FOR UPDATE SKIP LOCKED))
