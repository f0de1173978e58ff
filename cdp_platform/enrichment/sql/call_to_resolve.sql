-- A call whose questions nobody may ask, as its answer was lost.
SELECT c.state, c.credits FROM enrichment.provider_call AS c
WHERE c.tenant_id = %s AND c.call_id = %s AND c.state IN ('unknown', 'confirmed') AND EXISTS (
    SELECT FROM enrichment.answer AS a
    WHERE a.tenant_id = c.tenant_id AND a.call_id = c.call_id AND a.state = 'asked')
FOR UPDATE OF c
