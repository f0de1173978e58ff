-- Calls for which contacts of the search are held, whichever search's calls they are.
SELECT p.call_id, p.state::text, p.reason, p.people, p.credits, p.credits_reserved, p.created_at
FROM enrichment.provider_call AS p
WHERE p.tenant_id = %(tenant)s AND p.call_id IN (
    SELECT a.call_id FROM enrichment.contact AS c
    JOIN enrichment.answer AS a ON a.tenant_id = c.tenant_id AND a.question_hash = c.question_hash AND a.state = 'asked'
    WHERE c.tenant_id = %(tenant)s AND c.search_id = %(search)s AND c.outcome = 'held')
ORDER BY p.created_at, p.call_id
