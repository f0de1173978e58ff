INSERT INTO embeddings.embedding_job AS j
    (tenant_id, kind, entity_id, status, attempts, not_before, last_error, content_hash)
VALUES (%(tenant_id)s, %(kind)s, %(entity_id)s, 'failed', 1, now() + %(wait)s, %(error)s, %(content_hash)s)
ON CONFLICT (tenant_id, kind, entity_id) DO UPDATE
SET (status, attempts, not_before, last_error, content_hash) = (
    SELECT CASE WHEN failures >= %(most)s THEN 'dead' ELSE 'failed' END, failures,
           now() + %(wait)s * 2 ^ (failures - 1), excluded.last_error, excluded.content_hash
    FROM (SELECT CASE j.content_hash WHEN excluded.content_hash THEN j.attempts + 1 ELSE 1 END) AS text (failures))
RETURNING status
