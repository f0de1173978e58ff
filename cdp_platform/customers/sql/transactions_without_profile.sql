SELECT count(*) FILTER (WHERE p.profile_id IS NULL), count(*)
FROM customers.transactions AS t LEFT JOIN customers.cdp_profiles AS p USING (tenant_id, profile_id)
WHERE t.tenant_id = %(tenant)s AND t.closed_at IS NULL
