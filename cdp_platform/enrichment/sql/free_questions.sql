-- The questions of a call may be asked again, and contacts that were held for it wait.
WITH freed AS (
    DELETE FROM enrichment.answer WHERE tenant_id = %(tenant)s AND call_id = %(call)s AND state = 'asked'
    RETURNING question_hash
)
UPDATE enrichment.contact AS c SET outcome = 'waiting', reason = NULL, outcome_at = now()
FROM freed AS f WHERE c.tenant_id = %(tenant)s AND c.question_hash = f.question_hash AND c.outcome = 'held'
