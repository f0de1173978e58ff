-- The hash is emptied so that a document that comes back unchanged counts as a change and opens its row again.
WITH gone AS (
    SELECT h.key FROM ({held}) AS h WHERE NOT EXISTS (SELECT FROM source_key AS s WHERE s.key = h.key)
), closed AS (
    UPDATE {table} AS t
    SET closed_reason = 'deleted', closed_at = coalesce(t.closed_at, now()), document_hash = '', revision = NULL
    FROM gone WHERE t.tenant_id = %(tenant)s AND t.{key} = gone.key
), resolved AS (
    UPDATE ops.rejected_record AS r SET resolved_at = now()
    FROM gone
    WHERE r.tenant_id = %(tenant)s AND r.source = %(source)s AND r.resolved_at IS NULL AND r.document_key = gone.key
)
SELECT count(*) FROM gone
