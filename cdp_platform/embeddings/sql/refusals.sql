SELECT coalesce(last_error, 'unknown'), count(*) FROM embeddings.embedding_job
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND status IN ('failed', 'dead')
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5
