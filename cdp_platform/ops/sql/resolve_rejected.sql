UPDATE ops.rejected_record SET resolved_at = now()
WHERE tenant_id = %(tenant)s AND source = %(source)s AND resolved_at IS NULL AND document_key = ANY (%(keys)s)
