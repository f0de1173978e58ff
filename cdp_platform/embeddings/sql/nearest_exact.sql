-- The index is on the column cast to the model's dimensions. The bare column keeps it out, so every vector is compared.
SELECT entity_id, 1 - (vector <=> %(vector)s::vector) AS similarity
FROM (
    SELECT entity_id, vector FROM embeddings.embedding
    WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND model_id = %(model_id)s AND entity_id <> ALL (%(exclude)s)
    ORDER BY vector <=> %(vector)s::vector LIMIT %(k)s
) AS found
ORDER BY similarity DESC, entity_id
