SELECT t.kind, m.model_id, count(*), count(e.entity_id),
       count(*) FILTER (WHERE e.entity_id IS NULL AND j.status IN ('failed', 'dead'))
FROM embeddings.entity_text AS t
CROSS JOIN embeddings.embedding_model AS m
LEFT JOIN embeddings.embedding AS e
    ON e.tenant_id = %(tenant_id)s AND e.kind = t.kind AND e.entity_id = t.entity_id AND e.model_id = m.model_id
LEFT JOIN embeddings.embedding_job AS j
    ON j.tenant_id = %(tenant_id)s AND j.kind = t.kind AND j.entity_id = t.entity_id
WHERE t.tenant_id = %(tenant_id)s AND t.content IS NOT NULL AND m.state <> 'retired'
GROUP BY t.kind, m.model_id, m.state ORDER BY t.kind, m.state
