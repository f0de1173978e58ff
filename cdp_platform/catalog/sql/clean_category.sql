-- Categories that are not used, and have no used category below them. A removed product still uses its categories, because
-- it may come back until it is deleted.
DELETE FROM catalog.category AS c
WHERE tenant_id = %(tenant)s AND NOT EXISTS (
    SELECT FROM (
        SELECT organization_id, category_id FROM catalog.organization_category WHERE tenant_id = %(tenant)s
        UNION SELECT organization_id, category_id FROM catalog.brand_category WHERE tenant_id = %(tenant)s
        UNION SELECT organization_id, unnest(category_ids) FROM catalog.product WHERE tenant_id = %(tenant)s
        UNION SELECT organization_id, unnest(category_ids) FROM catalog.product_group WHERE tenant_id = %(tenant)s
    ) AS used
    WHERE used.organization_id = c.organization_id
      AND (used.category_id = c.category_id OR starts_with(used.category_id, c.category_id || '/'))
)
