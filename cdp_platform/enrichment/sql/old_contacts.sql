SELECT c.ctid FROM enrichment.contact AS c
JOIN enrichment.search AS s ON s.tenant_id = c.tenant_id AND s.search_id = c.search_id
WHERE c.tenant_id = %(tenant)s
  AND (s.ended_at < %(until)s OR s.status = 'preview' AND s.status_changed_at < %(until)s)
