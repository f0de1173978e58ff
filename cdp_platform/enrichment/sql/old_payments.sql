-- Not those of a search that is still open: its refund has to find them.
SELECT e.ctid FROM enrichment.payment_event AS e
LEFT JOIN enrichment.search AS s ON s.tenant_id = e.tenant_id AND s.search_id = e.search_id
WHERE e.tenant_id = %(tenant)s AND e.received_at < %(until)s
  AND (s.search_id IS NULL OR s.status = 'preview' OR s.ended_at < %(until)s)
