-- Calls whose phones are to be asked for now. One without the provider's id cannot be asked for, and is given up as that would be.
SELECT call_id, request_id, extract(epoch FROM clock_timestamp() - settled_at)::float8 AS age_seconds
FROM enrichment.provider_call
WHERE tenant_id = %(tenant)s AND account = %(account)s AND phones_state = 'pending' AND state = 'confirmed'
  AND coalesce(phones_ask_at, settled_at + make_interval(secs => %(first)s)) <= now()
  AND (request_id IS NOT NULL OR settled_at < now() - interval '30 days')
ORDER BY coalesce(phones_ask_at, settled_at), call_id LIMIT %(at_most)s
