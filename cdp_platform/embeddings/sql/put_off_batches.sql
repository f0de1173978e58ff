UPDATE embeddings.text_batch SET not_before = %(until)s
WHERE tenant_id = %(tenant_id)s AND batch_id = ANY (ARRAY(
    SELECT batch_id FROM embeddings.text_batch
    WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND claim IS NULL AND not_before < %(until)s
    FOR UPDATE SKIP LOCKED))
