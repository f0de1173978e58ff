-- The greatest stamp of each relation that is not in the future, per tenant. For events, PostgreSQL reads one entry of an index.
SELECT t.tenant_id, jsonb_build_array(o.at, c.at, l.at, k.at, s.at)::text
FROM (
        SELECT tenant_id FROM referrals.officer UNION SELECT tenant_id FROM referrals.campaign
        UNION SELECT tenant_id FROM referrals.referral_link
    ) AS t,
    LATERAL (SELECT max(ingested_at) FROM referrals.officer AS r
             WHERE r.tenant_id = t.tenant_id AND ingested_at <= now()) AS o (at),
    LATERAL (SELECT max(ingested_at) FROM referrals.campaign AS r
             WHERE r.tenant_id = t.tenant_id AND ingested_at <= now()) AS c (at),
    LATERAL (SELECT max(ingested_at) FROM referrals.referral_link AS r
             WHERE r.tenant_id = t.tenant_id AND ingested_at <= now()) AS l (at),
    LATERAL (SELECT max(ingested_at) FROM referrals.click_event AS r
             WHERE r.tenant_id = t.tenant_id AND ingested_at <= now()) AS k (at),
    LATERAL (SELECT max(ingested_at) FROM referrals.signup_event AS r
             WHERE r.tenant_id = t.tenant_id AND ingested_at <= now()) AS s (at)
WHERE t.tenant_id IS NOT NULL
