SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = 'embeddings.embedding'::regclass AND i.indisvalid
  AND starts_with(c.relname, format('vectors_%%s_%%s_', %(kind)s::text, %(model_id)s::int))
ORDER BY split_part(c.relname, '_', 5)::int DESC
