-- Key and revision of each document that is here: the newest version that was seen, which may wait rejected.
SELECT coalesce(r.document_key, t.{key}) AS key,
       CASE WHEN r.document_key IS NULL THEN t.revision ELSE r.revision END AS revision
FROM (
    SELECT {key}, revision FROM {table} WHERE tenant_id = %(tenant)s AND closed_reason IS DISTINCT FROM 'deleted'
) AS t
FULL JOIN (
    SELECT document_key, revision FROM ops.rejected_record
    WHERE tenant_id = %(tenant)s AND source = %(source)s AND resolved_at IS NULL
) AS r ON r.document_key = t.{key}
