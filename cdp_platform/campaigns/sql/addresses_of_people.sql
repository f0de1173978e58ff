SELECT DISTINCT ops.address_hash(s.salt, a.address) AS address_hash
FROM customers.cdp_profiles AS p
JOIN ops.address_salt AS s ON s.tenant_id = p.tenant_id
CROSS JOIN LATERAL (SELECT CASE %(kind)s WHEN 'email' THEN p.primary_email ELSE p.primary_phone END) AS a (address)
WHERE p.tenant_id = %(tenant)s AND p.profile_id = ANY (%(people)s) AND a.address IS NOT NULL
