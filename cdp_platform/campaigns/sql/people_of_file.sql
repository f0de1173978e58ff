SELECT g.kind, g.person, p.profile_id FROM unnest(%(kinds)s::text[], %(persons)s::text[]) AS g (kind, person)
JOIN customers.cdp_profiles AS p ON p.tenant_id = %(tenant)s AND p.profile_id = g.person
WHERE g.kind = 'profile_id'
UNION ALL
SELECT g.kind, g.person, p.profile_id FROM unnest(%(kinds)s::text[], %(persons)s::text[]) AS g (kind, person)
JOIN customers.cdp_profiles AS p ON p.tenant_id = %(tenant)s AND p.primary_email = g.person
WHERE g.kind = 'email'
UNION ALL
SELECT g.kind, g.person, p.profile_id FROM unnest(%(kinds)s::text[], %(persons)s::text[]) AS g (kind, person)
JOIN customers.cdp_profiles AS p ON p.tenant_id = %(tenant)s AND p.primary_phone = g.person
WHERE g.kind = 'phone'
