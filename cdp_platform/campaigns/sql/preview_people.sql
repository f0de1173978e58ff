SELECT {variables} FROM ({people}) AS s
JOIN customers.cdp_profiles AS p ON p.tenant_id = %(tenant)s AND p.profile_id = s.profile_id
ORDER BY p.profile_id LIMIT %(number)s
