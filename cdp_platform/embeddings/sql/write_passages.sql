INSERT INTO embeddings.passage AS p (tenant_id, kind, entity_id, content)
SELECT %(tenant_id)s, %(kind)s, entity_id, left(content, %(passage)s)
FROM unnest(%(ids)s::text[], %(contents)s::text[]) AS s (entity_id, content)
ON CONFLICT (tenant_id, kind, entity_id) DO UPDATE SET content = excluded.content
WHERE p.content IS DISTINCT FROM excluded.content
