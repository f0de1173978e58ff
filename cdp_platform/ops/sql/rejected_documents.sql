SELECT document_key, document FROM ops.rejected_record
WHERE tenant_id = %(tenant)s AND source = %(source)s AND resolved_at IS NULL AND document_key > %(after)s
ORDER BY document_key LIMIT %(limit)s
