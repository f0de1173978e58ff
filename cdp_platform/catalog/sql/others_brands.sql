SELECT b.brand_id FROM catalog.brand AS b JOIN catalog.organization AS o USING (tenant_id, organization_id)
WHERE b.tenant_id = %(tenant)s AND b.brand_id = ANY (%(brands)s) AND o.ingestor = ANY (%(others)s)
  AND b.removed_at IS NULL
