-- One array element per document and profile. A document has the person of any of its profiles.
INSERT INTO ops.erased_document AS e (tenant_id, source, document_key, revision, person)
SELECT %(tenant)s, %(source)s, d.document_key, max(d.revision), min(p.person)
FROM unnest(%(keys)s::text[], %(revisions)s::text[], %(profiles)s::text[]) AS d (document_key, revision, profile)
LEFT JOIN ops.erased_document AS p
    ON p.tenant_id = %(tenant)s AND p.source = %(profile_source)s AND p.document_key = d.profile
GROUP BY d.document_key
ON CONFLICT (tenant_id, source, document_key) DO UPDATE
SET revision = excluded.revision, person = coalesce(excluded.person, e.person)
WHERE e.revision IS DISTINCT FROM excluded.revision OR e.person IS NULL
