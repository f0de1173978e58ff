-- Unchanged products of groups that were added, changed or removed.
UPDATE catalog.product AS p
SET brand_id = i.brand_id, brand_name = i.brand_name, description = i.description, categories = i.categories,
    category_ids = i.category_ids, generation = %(generation)s, synced_at = now()
FROM (
    SELECT p.product_id,
           CASE WHEN p.inherits_brand THEN coalesce(g.brand_id, p.brand_id) ELSE p.brand_id END AS brand_id,
           CASE WHEN p.inherits_brand THEN coalesce(g.brand_name, p.brand_name) ELSE p.brand_name END AS brand_name,
           CASE WHEN p.inherits_description THEN g.description ELSE p.description END AS description,
           CASE WHEN p.inherits_categories THEN coalesce(g.categories, '{}') ELSE p.categories END AS categories,
           CASE WHEN p.inherits_categories THEN coalesce(g.category_ids, '{}') ELSE p.category_ids END AS category_ids
    FROM catalog.product_group AS c
    JOIN catalog.product AS p
        ON p.tenant_id = c.tenant_id AND p.organization_id = c.organization_id AND p.group_id = c.group_id
    LEFT JOIN catalog.product_group AS g
        ON g.tenant_id = c.tenant_id AND g.organization_id = c.organization_id AND g.group_id = c.group_id
        AND g.removed_at IS NULL
    WHERE c.tenant_id = %(tenant)s AND c.organization_id = %(organization)s AND c.generation = %(generation)s
      AND p.generation <> %(generation)s AND p.removed_at IS NULL
) AS i
WHERE p.tenant_id = %(tenant)s AND p.organization_id = %(organization)s AND p.product_id = i.product_id
  AND (p.brand_id, p.brand_name, p.description, p.categories, p.category_ids)
      IS DISTINCT FROM (i.brand_id, i.brand_name, i.description, i.categories, i.category_ids)
