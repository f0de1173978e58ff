-- Documents of the source that are missing here or are here in another version.
-- An erased person's documents are neither (missing is NULL). New versions of them are read all the same, since they may
-- say that the person was merged.
INSERT INTO unread_key
SELECT s.key, CASE WHEN e.document_key IS NULL THEN h.key IS NULL END
FROM source_key AS s
LEFT JOIN ({held}) AS h ON h.key = s.key
LEFT JOIN ops.erased_document AS e
    ON e.tenant_id = %(tenant)s AND e.source = %(source)s AND e.document_key = s.key
WHERE coalesce(e.document_key, h.key) IS NULL OR coalesce(e.revision, h.revision) IS DISTINCT FROM s.revision
