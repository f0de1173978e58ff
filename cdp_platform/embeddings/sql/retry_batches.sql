WITH due AS (
    UPDATE embeddings.text_batch SET not_before = now()
    WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND claim IS NULL AND not_before > now()
    RETURNING texts
)
SELECT coalesce(sum(texts), 0)::int FROM due
