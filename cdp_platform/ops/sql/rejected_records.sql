SELECT source, document_key, code, path, message, document, first_seen_at, attempts
FROM ops.rejected_record WHERE tenant_id = %(tenant)s AND resolved_at IS NULL
ORDER BY first_seen_at, source, document_key
