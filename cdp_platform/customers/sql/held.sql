-- Rows of a collection, and documents of it that are here: rows, rejected ones without an older row, and tombstones.
SELECT w.held_rows,
    w.held_rows - w.deleted_rows + (
        SELECT count(*) FROM ops.rejected_record AS r
        WHERE r.tenant_id = %(tenant)s AND r.source = %(source)s AND r.resolved_at IS NULL
          AND NOT EXISTS (SELECT FROM {table} AS t WHERE t.tenant_id = r.tenant_id AND t.{key} = r.document_key)
    ) + (
        SELECT count(*) FROM ops.erased_document
        WHERE tenant_id = %(tenant)s AND source = %(source)s AND revision IS NOT NULL
    )
FROM ops.sync_watermark AS w
WHERE w.tenant_id = %(tenant)s AND w.source = %(source)s AND w.held_rows IS NOT NULL
