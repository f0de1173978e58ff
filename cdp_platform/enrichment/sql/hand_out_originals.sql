-- The provider is away: whoever waits is handed out as they came, for now.
UPDATE enrichment.contact AS c SET outcome = 'original', reason = %(reason)s, outcome_at = now()
FROM enrichment.search AS s
WHERE c.tenant_id = %(tenant)s AND c.outcome = 'waiting'
  AND s.tenant_id = c.tenant_id AND s.search_id = c.search_id AND s.status = 'enriching'
