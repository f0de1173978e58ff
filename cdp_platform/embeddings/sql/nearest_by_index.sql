SELECT entity_id, similarity FROM embeddings.nearest_by_index(
    %(tenant_id)s, %(kind)s, %(model_id)s, %(vector)s, %(k)s, %(exclude)s)
