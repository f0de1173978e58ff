-- Products that are themselves unchanged, of groups that changed, came or went.
UPDATE catalog.product AS p
SET description = i.description, categories = i.categories, category_ids = i.category_ids, generation = %(generation)s,
    synced_at = now()
FROM (
    SELECT p.product_id,
           CASE WHEN p.inherits_description THEN g.description ELSE p.description END AS description,
           CASE WHEN p.inherits_categories THEN coalesce(g.categories, '{}') ELSE p.categories END AS categories,
           CASE WHEN p.inherits_categories THEN coalesce(g.category_ids, '{}') ELSE p.category_ids END AS category_ids
    FROM catalog.product_group AS c
    JOIN catalog.product AS p
        ON p.tenant_id = c.tenant_id AND p.organization_id = c.organization_id AND p.group_id = c.group_id
    LEFT JOIN catalog.product_group AS g
        ON g.tenant_id = c.tenant_id AND g.organization_id = c.organization_id AND g.group_id = c.group_id
        AND g.tombstoned_at IS NULL
    WHERE c.tenant_id = %(tenant)s AND c.organization_id = %(organization)s AND c.generation = %(generation)s
      AND p.generation <> %(generation)s AND p.tombstoned_at IS NULL
) AS i
WHERE p.tenant_id = %(tenant)s AND p.organization_id = %(organization)s AND p.product_id = i.product_id
  AND (p.description, p.categories, p.category_ids) IS DISTINCT FROM (i.description, i.categories, i.category_ids)
