INSERT INTO catalog.brand AS t (tenant_id, organization_id, brand_id, name, logo, document, document_hash)
VALUES (
    %(tenant)s, %(organization)s, %(brand)s, %(name)s, %(logo)s, %(document)s, %(document_hash)s
)
ON CONFLICT (tenant_id, organization_id, brand_id) DO UPDATE SET
    name = excluded.name, logo = excluded.logo, document = excluded.document, document_hash = excluded.document_hash,
    removed_at = NULL, synced_at = now()
WHERE t.document_hash <> excluded.document_hash OR t.removed_at IS NOT NULL
RETURNING xmax = 0
