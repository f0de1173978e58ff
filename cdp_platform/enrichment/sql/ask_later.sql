UPDATE enrichment.provider_call SET phones_ask_at = now() + make_interval(secs => %s)
WHERE tenant_id = %s AND call_id = %s
