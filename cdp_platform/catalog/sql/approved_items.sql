-- How many items a person allowed the next round to remove.
SELECT gone FROM (
    SELECT gone, approved_at FROM catalog.feed_round
    WHERE tenant_id = %(tenant)s AND ingestor = %(ingestor)s AND organization_id = %(organization)s
      AND outcome <> 'failed'
    ORDER BY generation DESC LIMIT 1
) AS newest
WHERE approved_at IS NOT NULL
