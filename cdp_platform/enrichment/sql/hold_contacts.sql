-- The answer of a call was lost: contacts of all searches that wait for it are held.
UPDATE enrichment.contact AS c SET outcome = 'held', reason = %(reason)s, outcome_at = now()
FROM enrichment.answer AS a, enrichment.search AS s
WHERE a.tenant_id = %(tenant)s AND a.call_id = %(call)s AND a.state = 'asked'
  AND c.tenant_id = %(tenant)s AND c.question_hash = a.question_hash AND c.outcome IN ('waiting', 'original')
  AND s.tenant_id = %(tenant)s AND s.search_id = c.search_id AND s.status = 'enriching'
  AND a.personal_emails >= s.personal_emails AND a.phones >= s.phones
