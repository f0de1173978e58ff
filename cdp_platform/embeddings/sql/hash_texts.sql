SELECT t.entity_id, embeddings.text_hash(t.content, %(longest)s) FROM {texts} AS t
WHERE t.tenant_id = %(tenant_id)s AND t.entity_id = ANY (%(ids)s) AND t.content IS NOT NULL
