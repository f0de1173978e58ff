DELETE FROM catalog.feed_state
WHERE tenant_id = %(tenant)s AND ingestor = %(ingestor)s AND organization_id = %(organization)s
  AND path <> ALL (%(paths)s)
