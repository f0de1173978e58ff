SELECT least(
    (SELECT min(enqueued_at) FROM embeddings.text_batch WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s),
    (SELECT min(enqueued_at) FROM embeddings.embedding_job
     WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND status = 'failed'))
