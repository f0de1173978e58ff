WITH expired AS (
    SELECT batch_id FROM embeddings.text_batch
    WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND lease_until < now()
    FOR UPDATE SKIP LOCKED
), again AS (
    UPDATE embeddings.text_batch SET attempts = attempts + 1, claim = NULL, lease_until = NULL
    WHERE tenant_id = %(tenant_id)s AND batch_id = ANY (ARRAY(SELECT batch_id FROM expired)) AND attempts + 1 < %(most)s
)
DELETE FROM embeddings.text_batch
WHERE tenant_id = %(tenant_id)s AND batch_id = ANY (ARRAY(SELECT batch_id FROM expired)) AND attempts + 1 >= %(most)s
RETURNING entity_ids
