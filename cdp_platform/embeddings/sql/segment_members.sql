-- All profiles in a segment, and whether they have a vector.
SELECT m.profile_id, e.entity_id IS NOT NULL
FROM customers.segment_member AS m LEFT JOIN embeddings.embedding AS e
    ON e.tenant_id = m.tenant_id AND e.kind = 'profile' AND e.model_id = %(model_id)s AND e.entity_id = m.profile_id
WHERE m.tenant_id = %(tenant_id)s AND m.segment_id = %(segment_id)s
