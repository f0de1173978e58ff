-- The number of the tracker's events that were handled: stored, or rejected without a stored older version.
SELECT (SELECT count(*) FROM {target} WHERE tenant_id = %(tenant)s)
     + (SELECT count(*) FROM ops.rejected_record AS r
        WHERE r.tenant_id = %(tenant)s AND r.source = %(source)s AND r.resolved_at IS NULL
          AND NOT EXISTS (SELECT FROM {target} AS t WHERE t.tenant_id = r.tenant_id AND t.{key} = r.document_key))
