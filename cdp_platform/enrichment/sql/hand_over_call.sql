-- The call is handed over while it is still this worker's; the hashes of its people in their order, without the erased.
WITH handed AS (
    UPDATE enrichment.provider_call SET state = 'handed_over', handed_over_at = clock_timestamp()
    WHERE tenant_id = %(tenant)s AND call_id = %(call)s AND claim = %(claim)s AND state = 'reserved' AND EXISTS (
        SELECT FROM enrichment.call_question AS q
        WHERE q.tenant_id = %(tenant)s AND q.call_id = %(call)s AND q.question_hash IS NOT NULL)
    RETURNING call_id
)
SELECT q.question_hash FROM handed
JOIN enrichment.call_question AS q ON q.tenant_id = %(tenant)s AND q.call_id = handed.call_id
WHERE q.question_hash IS NOT NULL ORDER BY q.place
