SELECT f.entity_id, 1 - (e.vector <=> %(vector)s::vector),
       ARRAY(SELECT lexeme FROM unnest(p.words) WHERE lexeme = ANY (%(words)s)), coalesce(p.content, '')
FROM unnest(%(entity_ids)s::text[]) AS f (entity_id)
LEFT JOIN embeddings.embedding AS e
    ON e.tenant_id = %(tenant_id)s AND e.kind = %(kind)s AND e.model_id = %(model_id)s AND e.entity_id = f.entity_id
LEFT JOIN embeddings.passage AS p
    ON p.tenant_id = %(tenant_id)s AND p.kind = %(kind)s AND p.entity_id = f.entity_id
