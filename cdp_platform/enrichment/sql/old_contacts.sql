-- Not those of a search with a call of unknown result: its answer, once resolved, is theirs.
SELECT c.ctid FROM enrichment.contact AS c
JOIN enrichment.search AS s ON s.tenant_id = c.tenant_id AND s.search_id = c.search_id
WHERE c.tenant_id = %(tenant)s
  AND (s.ended_at < %(until)s OR s.status = 'preview' AND s.status_changed_at < %(until)s)
  AND NOT EXISTS (
      SELECT FROM enrichment.provider_call AS p
      WHERE p.tenant_id = s.tenant_id AND p.search_id = s.search_id AND p.state IN ('reserved', 'handed_over', 'unknown'))
