DELETE FROM source_key AS s USING ops.erased_document AS e
WHERE e.tenant_id = %(tenant)s AND e.source = %(source)s AND e.document_key = s.key
