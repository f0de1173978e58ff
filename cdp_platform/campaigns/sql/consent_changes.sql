SELECT channel, after AS state, source, legal_basis, evidence, happened_at, recorded_at, before
FROM campaigns.consent_change WHERE tenant_id = %(tenant)s AND profile_id = %(profile)s ORDER BY change_id
