-- Runs after the groups were merged: a product without a description or category has its group's.
INSERT INTO catalog.product AS t (
    tenant_id, organization_id, product_id, brand_id, brand_name, inherits_brand, group_id, sku, name, description,
    inherits_description, url, images, categories, category_ids, inherits_categories, attributes, gtin, mpn, in_stock,
    prices_change_at, remarks, document, document_hash, generation
)
SELECT %(tenant)s, %(organization)s, s.product_id, s.brand_id, s.brand_name, s.inherits_brand, s.group_id, s.sku, s.name,
       coalesce(s.description, g.description), s.description IS NULL, s.url, s.images,
       CASE WHEN s.category_ids = '{}' THEN coalesce(g.categories, '{}') ELSE s.categories END,
       CASE WHEN s.category_ids = '{}' THEN coalesce(g.category_ids, '{}') ELSE s.category_ids END,
       s.category_ids = '{}', s.attributes, s.gtin, s.mpn, s.in_stock, s.prices_change_at, s.remarks,
       s.document, s.document_hash, %(generation)s
FROM stage_product AS s
LEFT JOIN catalog.product_group AS g
    ON g.tenant_id = %(tenant)s AND g.organization_id = %(organization)s AND g.group_id = s.group_id
    AND g.removed_at IS NULL
ON CONFLICT (tenant_id, organization_id, product_id) DO UPDATE SET
    brand_id = excluded.brand_id, brand_name = excluded.brand_name, inherits_brand = excluded.inherits_brand,
    group_id = excluded.group_id, sku = excluded.sku,
    name = excluded.name, description = excluded.description, inherits_description = excluded.inherits_description,
    url = excluded.url, images = excluded.images, categories = excluded.categories,
    category_ids = excluded.category_ids, inherits_categories = excluded.inherits_categories,
    attributes = excluded.attributes, gtin = excluded.gtin, mpn = excluded.mpn,
    in_stock = excluded.in_stock, prices_change_at = excluded.prices_change_at, remarks = excluded.remarks,
    document = excluded.document, document_hash = excluded.document_hash,
    generation = excluded.generation, removed_at = NULL, synced_at = now()
