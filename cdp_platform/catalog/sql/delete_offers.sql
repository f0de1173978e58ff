-- The offers of a changed product are replaced.
DELETE FROM catalog.offer AS o USING stage_product AS s
WHERE o.tenant_id = %(tenant)s AND o.organization_id = %(organization)s AND o.product_id = s.product_id
