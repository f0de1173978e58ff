WITH wanted AS MATERIALIZED (
    -- A text that changed twice is in two batches.
    SELECT id AS entity_id, min(place) AS place FROM unnest(ARRAY(
        SELECT e.entity_id FROM embeddings.text_batch AS b
        CROSS JOIN unnest(b.entity_ids) WITH ORDINALITY AS e (entity_id, place)
        WHERE b.tenant_id = %(tenant_id)s AND b.batch_id = ANY (%(batches)s) AND b.claim = %(claim)s
        ORDER BY b.arrival, b.batch_id, e.place
    )) WITH ORDINALITY AS w (id, place) GROUP BY id
), text AS MATERIALIZED (
    SELECT t.entity_id, t.content FROM {texts} AS t
    WHERE t.tenant_id = %(tenant_id)s AND t.entity_id = ANY (ARRAY(SELECT entity_id FROM wanted))
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
SELECT w.entity_id, l.stale, left(l.content, %(longest)s), (
    SELECT r.xmin::text::bigint FROM {source} AS r
    WHERE r.tenant_id = %(tenant_id)s AND r.{key} = w.entity_id
)
FROM wanted AS w LEFT JOIN looked AS l ON l.entity_id = w.entity_id
WHERE l.entity_id IS NULL OR l.stale <> '{{}}' OR left(l.content, %(passage)s) IS DISTINCT FROM (
    SELECT p.content FROM embeddings.passage AS p
    WHERE p.tenant_id = %(tenant_id)s AND p.kind = %(kind)s AND p.entity_id = w.entity_id)
  OR EXISTS (
    SELECT FROM embeddings.embedding_job AS j
    WHERE j.tenant_id = %(tenant_id)s AND j.kind = %(kind)s AND j.entity_id = w.entity_id)
ORDER BY w.place
