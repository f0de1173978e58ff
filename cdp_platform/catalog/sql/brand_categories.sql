INSERT INTO catalog.brand_category (tenant_id, organization_id, brand_id, category_id)
SELECT DISTINCT %(tenant)s, %(organization)s, brand_id, unnest(category_ids)
FROM (
    SELECT tenant_id, organization_id, brand_id, category_ids, generation, removed_at FROM catalog.product_group
    UNION ALL
    SELECT tenant_id, organization_id, brand_id, category_ids, generation, removed_at FROM catalog.product
) AS written
WHERE tenant_id = %(tenant)s AND organization_id = %(organization)s AND generation = %(generation)s
  AND removed_at IS NULL
ON CONFLICT DO NOTHING
