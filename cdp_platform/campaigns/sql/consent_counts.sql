SELECT channel || ': ' || state, count(*) FROM campaigns.consent_management
WHERE tenant_id = %(tenant)s GROUP BY 1 ORDER BY 1
