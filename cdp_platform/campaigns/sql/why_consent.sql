WITH people AS MATERIALIZED (SELECT %(profile)s AS profile_id), {permission}
SELECT v.role, v.voice AS profile_id, v.cdp_consent, c.state, c.source, c.legal_basis, c.evidence, c.happened_at
FROM voice AS v
LEFT JOIN campaigns.consent_management AS c
    ON c.tenant_id = %(tenant)s AND c.profile_id = v.voice AND c.channel = %(channel)s
ORDER BY v.role = 'own' DESC, v.role DESC, v.voice
