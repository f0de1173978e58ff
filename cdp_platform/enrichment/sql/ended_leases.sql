SELECT call_id, state FROM enrichment.provider_call
WHERE tenant_id = %(tenant)s AND state::text IN ('reserved', 'handed_over')
  AND (lease_until IS NULL OR lease_until < statement_timestamp())
ORDER BY call_id
