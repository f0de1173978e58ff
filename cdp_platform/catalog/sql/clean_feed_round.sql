DELETE FROM catalog.feed_round AS r
WHERE tenant_id = %(tenant)s AND finished_at < now() - %(rounds_until)s AND EXISTS (
    SELECT FROM catalog.feed_round AS later
    WHERE later.tenant_id = r.tenant_id AND later.ingestor = r.ingestor AND later.organization_id = r.organization_id
      AND later.generation > r.generation
      AND (later.outcome <> 'failed' OR r.outcome = 'failed')
)
