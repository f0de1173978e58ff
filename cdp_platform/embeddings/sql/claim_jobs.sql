WITH text AS MATERIALIZED (
    -- Scalar subqueries keep this to index lookups. For a join, the planner might make the texts of all the tenant's rows.
    SELECT w.entity_id, (
        SELECT t.content FROM embeddings.entity_text AS t
        WHERE t.tenant_id = %(tenant_id)s AND t.kind = %(kind)s AND t.entity_id = w.entity_id
    ) AS content
    FROM unnest(%(ids)s::text[]) AS w (entity_id)
), looked AS MATERIALIZED (
    SELECT entity_id, content, ARRAY(
        SELECT m.model_id FROM unnest(%(models)s::int[], %(sizes)s::int[]) AS m (model_id, max_characters)
        WHERE embeddings.text_hash(content, m.max_characters) IS DISTINCT FROM (
            SELECT e.content_hash FROM embeddings.embedding AS e
            WHERE e.tenant_id = %(tenant_id)s AND e.kind = %(kind)s AND e.model_id = m.model_id
              AND e.entity_id = text.entity_id)
    ) AS stale
    FROM text
), unchanged AS (
    UPDATE embeddings.embedding_job SET status = 'completed', last_error = NULL, finished_at = now()
    WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = ANY (ARRAY(
        SELECT entity_id FROM looked WHERE content IS NOT NULL AND stale = '{}'))
), claimed AS (
    UPDATE embeddings.embedding_job SET status = 'processing', claim = %(claim)s, lease_until = now() + %(lease)s
    WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND entity_id = ANY (ARRAY(
        SELECT entity_id FROM looked WHERE content IS NOT NULL AND stale <> '{}'))
)
SELECT entity_id, stale, left(content, %(longest)s) FROM looked
WHERE content IS NULL OR stale <> '{}' OR left(content, %(passage)s) IS DISTINCT FROM (
    SELECT p.content FROM embeddings.passage AS p
    WHERE p.tenant_id = %(tenant_id)s AND p.kind = %(kind)s AND p.entity_id = looked.entity_id)
