UPDATE embeddings.text_batch
SET not_before = %(until)s, attempts = attempts + (claim IS NOT NULL)::int, claim = NULL, lease_until = NULL
WHERE tenant_id = %(tenant_id)s AND batch_id = ANY (ARRAY(
    SELECT batch_id FROM embeddings.text_batch
    WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s
      AND (claim IS NULL AND not_before < %(until)s OR lease_until < now())
    FOR UPDATE SKIP LOCKED))
