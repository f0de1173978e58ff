-- Not those of a search that is still open, because its refund has to find them, nor of one with a call of unknown result.
SELECT e.ctid FROM enrichment.payment_event AS e
LEFT JOIN enrichment.search AS s ON s.tenant_id = e.tenant_id AND s.search_id = e.search_id
WHERE e.tenant_id = %(tenant)s AND e.received_at < %(until)s
  AND (s.search_id IS NULL OR s.status = 'preview' OR s.ended_at < %(until)s)
  AND NOT EXISTS (
      SELECT FROM enrichment.provider_call AS p
      WHERE p.tenant_id = s.tenant_id AND p.search_id = s.search_id AND p.state IN ('reserved', 'handed_over', 'unknown'))
