-- Contacts that are held for a call get no answer any more.
UPDATE enrichment.contact AS c SET outcome = 'unusable', reason = 'charged, and the answer was lost', outcome_at = now()
FROM enrichment.answer AS a
WHERE a.tenant_id = %(tenant)s AND a.call_id = %(call)s AND a.state = 'asked'
  AND c.tenant_id = %(tenant)s AND c.question_hash = a.question_hash AND c.outcome = 'held'
