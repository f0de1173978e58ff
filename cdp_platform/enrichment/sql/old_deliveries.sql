-- Not that of a call of unknown result or with unknown credits: what was delivered of its phones helps to resolve it.
SELECT d.ctid FROM enrichment.phone_delivery AS d
JOIN enrichment.provider_call AS p ON p.tenant_id = d.tenant_id AND p.call_id = d.call_id
WHERE d.tenant_id = %(tenant)s AND d.received_at < %(until)s
  AND p.state NOT IN ('reserved', 'handed_over', 'unknown') AND p.phones_state <> 'pending'
  AND (p.state <> 'confirmed' OR p.credits IS NOT NULL)
