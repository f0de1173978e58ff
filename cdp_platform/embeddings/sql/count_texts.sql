SELECT CASE WHEN claim IS NULL THEN 'pending' ELSE 'processing' END AS status, sum(texts)
FROM embeddings.text_batch WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s GROUP BY 1
UNION ALL
-- The text of a pending job is in a batch.
SELECT status, count(*) FROM embeddings.embedding_job
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND status <> 'pending' GROUP BY 1
