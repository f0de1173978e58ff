-- Documents of a collection that are here: rows, rejected ones without an older row, and tombstones.
SELECT (
    SELECT count(*) FROM {table}
    WHERE tenant_id = %(tenant)s AND closed_reason IS DISTINCT FROM 'deleted'
) + (
    SELECT count(*) FROM ops.rejected_record AS r
    WHERE r.tenant_id = %(tenant)s AND r.source = %(source)s AND r.resolved_at IS NULL
      AND NOT EXISTS (SELECT FROM {table} AS t WHERE t.tenant_id = r.tenant_id AND t.{key} = r.document_key)
) + (
    SELECT count(*) FROM ops.erased_document
    WHERE tenant_id = %(tenant)s AND source = %(source)s AND revision IS NOT NULL
)
