SELECT entity_id, vector_send(vector) FROM embeddings.embedding
WHERE tenant_id = %(tenant_id)s AND kind = 'profile' AND model_id = %(model_id)s
