SELECT entity_id, vector_send(vector) FROM embeddings.embedding
WHERE tenant_id = %(tenant_id)s AND kind = 'profile' AND model_id = %(model_id)s
  AND (%(among)s::text[] IS NULL OR entity_id = ANY (%(among)s))
ORDER BY hashtextextended(entity_id, %(seed)s), entity_id LIMIT %(size)s
