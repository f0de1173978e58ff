INSERT INTO catalog.organization AS t (
    tenant_id, organization_id, ingestor, name, description, url, logo, same_as, feed_url, document, document_hash
) VALUES (
    %(tenant)s, %(organization)s, %(ingestor)s, %(name)s, %(description)s, %(url)s, %(logo)s, %(same_as)s, %(feed_url)s,
    %(document)s, %(document_hash)s
)
ON CONFLICT (tenant_id, organization_id) DO UPDATE SET
    ingestor = excluded.ingestor, name = excluded.name, description = excluded.description, url = excluded.url,
    logo = excluded.logo, same_as = excluded.same_as, feed_url = excluded.feed_url, document = excluded.document,
    document_hash = excluded.document_hash, removed_at = NULL, synced_at = now()
WHERE t.document_hash <> excluded.document_hash OR t.removed_at IS NOT NULL OR t.ingestor <> excluded.ingestor
   OR t.feed_url IS DISTINCT FROM excluded.feed_url
RETURNING xmax = 0
