UPDATE enrichment.contact AS c SET outcome = 'unusable', reason = %(reason)s, outcome_at = now()
FROM enrichment.search AS s
WHERE c.tenant_id = %(tenant)s AND c.question_hash = %(hash)s AND c.outcome IN ('waiting', 'held', 'original')
  AND s.tenant_id = c.tenant_id AND s.search_id = c.search_id AND s.status = 'enriching'
