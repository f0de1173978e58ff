SELECT organization_id FROM catalog.organization
WHERE tenant_id = %(tenant)s AND organization_id = ANY (%(organizations)s) AND ingestor = ANY (%(others)s)
  AND removed_at IS NULL
