INSERT INTO enrichment.phone_delivery (tenant_id, call_id, payload) VALUES (%s, %s, %s)
ON CONFLICT (tenant_id, call_id) DO NOTHING
