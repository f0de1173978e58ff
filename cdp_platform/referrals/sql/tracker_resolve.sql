-- Resolve records whose rows are accepted now, or that were asked for and that the tracker has deleted.
UPDATE ops.rejected_record AS r SET resolved_at = now()
WHERE r.tenant_id = %(tenant)s AND r.source = %(source)s AND r.resolved_at IS NULL
  AND NOT EXISTS (SELECT FROM {stage} AS s WHERE s.code IS NOT NULL AND coalesce(s.{key}, '') = r.document_key)
  AND (%(whole)s OR r.document_key = ANY (%(asked)s) OR EXISTS (SELECT FROM {stage} AS s WHERE s.{key} = r.document_key))
