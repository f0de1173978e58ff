SELECT p.profile_id, e.entity_id IS NOT NULL
FROM customers.cdp_profiles AS p LEFT JOIN embeddings.embedding AS e
    ON e.tenant_id = p.tenant_id AND e.kind = 'profile' AND e.model_id = %(model_id)s AND e.entity_id = p.profile_id
WHERE p.tenant_id = %(tenant_id)s AND p.segments @> %(segment)s
