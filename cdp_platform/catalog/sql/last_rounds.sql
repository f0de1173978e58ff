SELECT DISTINCT ON (organization_id) {columns} FROM catalog.feed_round
WHERE tenant_id = %(tenant)s AND ingestor = %(ingestor)s
ORDER BY organization_id, generation DESC
