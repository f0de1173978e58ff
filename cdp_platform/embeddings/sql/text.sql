SELECT entity_id, left(content, %(max_characters)s), coalesce(length(content), 0),
       encode(embeddings.text_hash(content, %(max_characters)s), 'hex')
FROM embeddings.entity_text
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = %(entity_id)s
