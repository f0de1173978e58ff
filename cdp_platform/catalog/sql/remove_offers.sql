UPDATE catalog.offer AS o SET removed_at = p.removed_at, generation = p.generation
FROM catalog.product AS p
WHERE p.tenant_id = %(tenant)s AND p.organization_id = %(organization)s AND p.generation = %(generation)s
  AND p.removed_at IS NOT NULL
  AND o.tenant_id = %(tenant)s AND o.organization_id = %(organization)s AND o.product_id = p.product_id
  AND o.removed_at IS NULL
