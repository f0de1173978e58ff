DELETE FROM embeddings.embedding_job AS j USING unnest(%(ids)s::text[], %(contents)s::text[]) AS t (entity_id, content)
WHERE j.tenant_id = %(tenant_id)s AND j.kind = %(kind)s AND j.entity_id = t.entity_id
  -- Stays: refused by another model, and the text is the same.
  AND (j.status = 'pending' OR j.content_hash IS NULL OR j.content_hash NOT IN (
      SELECT embeddings.text_hash(t.content, m.max_characters) FROM embeddings.embedding_model AS m
      WHERE m.state <> 'retired'))
