SELECT count(*) FROM enrichment.provider_call WHERE tenant_id = %s AND state = 'unknown'
