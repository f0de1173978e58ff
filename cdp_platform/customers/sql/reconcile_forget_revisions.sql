-- Tombstones of documents that the source no longer has.
UPDATE ops.erased_document AS e SET revision = NULL
WHERE e.tenant_id = %(tenant)s AND e.source = %(source)s AND e.revision IS NOT NULL
  AND NOT EXISTS (SELECT FROM source_key AS s WHERE s.key = e.document_key)
