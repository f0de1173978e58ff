-- Brands that the registry no longer lists with their organization. A listed organization may belong to an ingestor
-- that is no longer configured.
UPDATE catalog.brand AS b SET removed_at = now(), synced_at = now()
FROM catalog.organization AS o
WHERE b.tenant_id = %(tenant)s AND b.removed_at IS NULL
  AND o.tenant_id = b.tenant_id AND o.organization_id = b.organization_id
  AND (o.ingestor = %(ingestor)s OR o.organization_id = ANY (%(listed)s) OR b.brand_id = ANY (%(brands)s))
  AND NOT EXISTS (
      SELECT FROM unnest(%(of)s::text[], %(brands)s::text[]) AS n (organization_id, brand_id)
      WHERE n.organization_id = b.organization_id AND n.brand_id = b.brand_id
  )
