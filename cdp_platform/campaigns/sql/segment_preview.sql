SELECT count(*) OVER (), coalesce(p.primary_email, p.profile_id)
FROM customers.cdp_profiles AS p
WHERE p.tenant_id = %(tenant)s AND p.closed_at IS NULL AND p.profile_id IN ({people})
ORDER BY p.profile_id LIMIT %(shown)s
