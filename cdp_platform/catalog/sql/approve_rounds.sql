-- Approve each organization's newest round, apart from those that failed, if it is blocked.
UPDATE catalog.feed_round AS r SET approved_at = now()
FROM (
    SELECT DISTINCT ON (organization_id) organization_id AS newest_of, generation AS newest FROM catalog.feed_round
    WHERE tenant_id = %(tenant)s AND ingestor = %(ingestor)s AND outcome <> 'failed'
    ORDER BY organization_id, generation DESC
) AS n
WHERE r.tenant_id = %(tenant)s AND r.ingestor = %(ingestor)s AND r.outcome = 'blocked'
  AND r.organization_id = n.newest_of AND r.generation = n.newest
RETURNING {columns}
