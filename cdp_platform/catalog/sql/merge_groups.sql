INSERT INTO catalog.product_group AS t (
    tenant_id, organization_id, group_id, brand_id, brand_name, product_group_id, name, description, url, image,
    categories, category_ids, varies_by, media, document, document_hash, generation
)
SELECT %(tenant)s, %(organization)s, group_id, brand_id, brand_name, product_group_id, name, description, url, image,
       categories, category_ids, varies_by, media, document, document_hash, %(generation)s
FROM stage_group
ON CONFLICT (tenant_id, organization_id, group_id) DO UPDATE SET
    brand_id = excluded.brand_id, brand_name = excluded.brand_name, product_group_id = excluded.product_group_id,
    name = excluded.name, description = excluded.description, url = excluded.url, image = excluded.image,
    categories = excluded.categories, category_ids = excluded.category_ids, varies_by = excluded.varies_by,
    media = excluded.media, document = excluded.document, document_hash = excluded.document_hash,
    generation = excluded.generation, removed_at = NULL, synced_at = now()
