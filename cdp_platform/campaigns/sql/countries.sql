SELECT DISTINCT living_country FROM customers.cdp_profiles WHERE tenant_id = %s AND living_country IS NOT NULL
