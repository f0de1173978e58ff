WITH text AS MATERIALIZED (
    SELECT t.entity_id, t.content FROM {texts} AS t
    WHERE t.tenant_id = %(tenant_id)s AND t.entity_id = ANY (%(ids)s)
), looked AS MATERIALIZED (
    SELECT entity_id, content, ARRAY(
        SELECT m.model_id FROM unnest(%(models)s::int[], %(sizes)s::int[]) AS m (model_id, max_characters)
        WHERE embeddings.text_hash(content, m.max_characters) IS DISTINCT FROM (
            SELECT e.content_hash FROM embeddings.embedding AS e
            WHERE e.tenant_id = %(tenant_id)s AND e.kind = %(kind)s AND e.model_id = m.model_id
              AND e.entity_id = text.entity_id)
          -- Refused before, and not due.
          AND NOT EXISTS (
            SELECT FROM embeddings.embedding_job AS j
            WHERE j.tenant_id = %(tenant_id)s AND j.kind = %(kind)s AND j.entity_id = text.entity_id
              AND j.status <> 'pending' AND j.content_hash = embeddings.text_hash(content, m.max_characters))
    ) AS stale
    FROM text WHERE content IS NOT NULL
)
SELECT entity_id, stale, left(content, %(longest)s), (
    SELECT r.xmin::text::bigint FROM {source} AS r
    WHERE r.tenant_id = %(tenant_id)s AND r.{key} = looked.entity_id
) FROM looked
WHERE stale <> '{{}}' OR left(content, %(passage)s) IS DISTINCT FROM (
    SELECT p.content FROM embeddings.passage AS p
    WHERE p.tenant_id = %(tenant_id)s AND p.kind = %(kind)s AND p.entity_id = looked.entity_id)
  OR EXISTS (
    SELECT FROM embeddings.embedding_job AS j
    WHERE j.tenant_id = %(tenant_id)s AND j.kind = %(kind)s AND j.entity_id = looked.entity_id)
UNION ALL
SELECT entity_id, NULL, NULL, NULL FROM (
    SELECT entity_id FROM unnest(%(ids)s::text[]) AS w (entity_id) EXCEPT SELECT entity_id FROM looked
) AS gone
