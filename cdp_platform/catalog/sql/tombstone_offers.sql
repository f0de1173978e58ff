UPDATE catalog.offer AS o SET tombstoned_at = p.tombstoned_at, generation = p.generation
FROM catalog.product AS p
WHERE p.tenant_id = %(tenant)s AND p.organization_id = %(organization)s AND p.generation = %(generation)s
  AND p.tombstoned_at IS NOT NULL
  AND o.tenant_id = %(tenant)s AND o.organization_id = %(organization)s AND o.product_id = p.product_id
  AND o.tombstoned_at IS NULL
