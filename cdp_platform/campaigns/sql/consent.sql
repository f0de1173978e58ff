SELECT channel, state, source, legal_basis, evidence, happened_at, recorded_at
FROM campaigns.consent_management WHERE tenant_id = %(tenant)s AND profile_id = %(profile)s ORDER BY channel
