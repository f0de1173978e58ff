-- The files of a feed as they were last taken, if the last round landed and no price has begun or ended since.
SELECT path, etag, last_modified, size, digest FROM catalog.feed_state
WHERE tenant_id = %(tenant)s AND ingestor = %(ingestor)s AND organization_id = %(organization)s AND rules = %(rules)s
  AND EXISTS (
      SELECT FROM (
          SELECT outcome, next_change_at FROM catalog.feed_round
          WHERE tenant_id = %(tenant)s AND ingestor = %(ingestor)s AND organization_id = %(organization)s
          ORDER BY generation DESC LIMIT 1
      ) AS newest
      WHERE outcome = 'landed' AND (next_change_at IS NULL OR next_change_at > %(now)s)
  )
