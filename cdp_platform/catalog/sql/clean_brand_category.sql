DELETE FROM catalog.brand_category AS b
WHERE tenant_id = %(tenant)s AND NOT EXISTS (
    SELECT FROM (
        SELECT DISTINCT organization_id, brand_id, unnest(category_ids) AS category_id
        FROM catalog.product WHERE tenant_id = %(tenant)s AND removed_at IS NULL
        UNION
        SELECT DISTINCT organization_id, brand_id, unnest(category_ids)
        FROM catalog.product_group WHERE tenant_id = %(tenant)s AND removed_at IS NULL
    ) AS used
    WHERE used.organization_id = b.organization_id AND used.brand_id = b.brand_id AND used.category_id = b.category_id
)
