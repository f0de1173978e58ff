-- Calls of searches that ended, whose result and credits are known, and that no answer and no delivery of phones refers to.
SELECT p.ctid FROM enrichment.provider_call AS p
JOIN enrichment.search AS s ON s.tenant_id = p.tenant_id AND s.search_id = p.search_id
WHERE p.tenant_id = %(tenant)s AND p.settled_at < %(until)s AND s.ended_at < %(until)s
  AND p.state NOT IN ('reserved', 'handed_over', 'unknown') AND p.phones_state <> 'pending'
  AND (p.state <> 'confirmed' OR p.credits IS NOT NULL)
  AND NOT EXISTS (SELECT FROM enrichment.answer AS a WHERE a.tenant_id = p.tenant_id AND a.call_id = p.call_id)
  AND NOT EXISTS (SELECT FROM enrichment.phone_delivery AS d WHERE d.tenant_id = p.tenant_id AND d.call_id = p.call_id)
