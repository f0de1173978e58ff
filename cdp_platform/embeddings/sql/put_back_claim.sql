UPDATE embeddings.text_batch SET claim = NULL, lease_until = NULL
WHERE tenant_id = %(tenant_id)s AND batch_id = ANY (ARRAY(
    SELECT batch_id FROM embeddings.text_batch
    WHERE tenant_id = %(tenant_id)s AND batch_id = ANY (%(batches)s) AND claim = %(claim)s
    FOR UPDATE SKIP LOCKED))
