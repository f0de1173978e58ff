-- Calls whose credits are not known or whose answer was lost, with what was delivered of their phones, and whether their questions
-- are still theirs.
SELECT c.call_id, c.account, c.state, c.credits, c.credits_reserved, c.phones_state, d.payload AS delivered,
    extract(epoch FROM clock_timestamp() - c.handed_over_at)::float8 AS age_seconds, asked.is_asked
FROM enrichment.provider_call AS c
LEFT JOIN enrichment.phone_delivery AS d ON d.tenant_id = c.tenant_id AND d.call_id = c.call_id,
LATERAL (SELECT EXISTS (
    SELECT FROM enrichment.answer AS a
    WHERE a.tenant_id = c.tenant_id AND a.call_id = c.call_id AND a.state = 'asked')) AS asked (is_asked)
WHERE c.tenant_id = %s
  AND (c.state = 'unknown' OR c.state = 'confirmed' AND (c.credits IS NULL OR asked.is_asked))
ORDER BY c.handed_over_at, c.call_id
