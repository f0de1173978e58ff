SELECT DISTINCT left(primary_phone, 4) FROM customers.cdp_profiles WHERE tenant_id = %s AND primary_phone IS NOT NULL
