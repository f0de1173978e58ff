WITH again AS (
    UPDATE embeddings.embedding_job SET status = 'pending', attempts = 0
    WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND status IN ('failed', 'dead')
    RETURNING entity_id
)
SELECT embeddings.enqueue(%(tenant_id)s, %(kind)s, array_agg(entity_id ORDER BY entity_id))::int FROM again
