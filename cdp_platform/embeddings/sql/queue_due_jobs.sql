WITH due AS (
    SELECT entity_id FROM embeddings.embedding_job
    WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND status = 'failed' AND not_before <= now()
    ORDER BY not_before, entity_id LIMIT 500 FOR UPDATE SKIP LOCKED
), pending AS (
    UPDATE embeddings.embedding_job SET status = 'pending'
    WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = ANY (ARRAY(SELECT entity_id FROM due))
    RETURNING entity_id
)
SELECT embeddings.enqueue(%(tenant_id)s, %(kind)s, array_agg(entity_id)) FROM pending HAVING count(*) > 0
