-- The person is that of a profile that the document is about.
INSERT INTO ops.erased_document AS e (tenant_id, source, document_key, revision, person)
SELECT DISTINCT ON (d.document_key) %(tenant)s, %(source)s, d.document_key, d.revision, (
    SELECT min(p.person) FROM ops.erased_document AS p
    WHERE p.tenant_id = %(tenant)s AND p.source = 'cdp_profile' AND p.document_key = ANY (string_to_array(d.profiles, E'\n')))
FROM unnest(%(keys)s::text[], %(revisions)s::text[], %(profiles)s::text[]) AS d (document_key, revision, profiles)
ON CONFLICT (tenant_id, source, document_key) DO UPDATE
SET revision = excluded.revision, person = coalesce(excluded.person, e.person)
WHERE e.revision IS DISTINCT FROM excluded.revision OR e.person IS NULL
