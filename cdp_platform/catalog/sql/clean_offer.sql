DELETE FROM catalog.offer AS o USING catalog.product AS p
WHERE p.tenant_id = %(tenant)s AND p.removed_at < now() - %(products_until)s
  AND o.tenant_id = p.tenant_id AND o.organization_id = p.organization_id AND o.product_id = p.product_id
