DELETE FROM enrichment.phone_delivery WHERE tenant_id = %s AND call_id = %s RETURNING payload
