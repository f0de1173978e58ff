-- Opt-outs that the warehouse does not have: the address is not suppressed, and nobody who has it agreed later.
WITH missing AS MATERIALIZED (
    SELECT g.* FROM unnest(%(channels)s::text[], %(hashes)s::bytea[], %(reasons)s::text[], %(moments)s::timestamptz[])
        AS g (channel, address_hash, reason, happened_at)
    WHERE NOT EXISTS (
        SELECT FROM campaigns.suppression AS s
        WHERE s.tenant_id = %(tenant)s AND s.channel = g.channel AND s.address_hash = g.address_hash
    )
), agreed AS MATERIALIZED (
    -- Once for all of them: to know an address by its hash, that of every profile is made.
    SELECT c.channel, a.address_hash, max(c.happened_at) AS happened_at
    FROM campaigns.consent_management AS c
    JOIN campaigns.address_of AS a ON a.tenant_id = c.tenant_id AND a.profile_id = c.profile_id
    WHERE c.tenant_id = %(tenant)s AND c.state = 'given' AND c.happened_at > (SELECT min(m.happened_at) FROM missing AS m)
    GROUP BY c.channel, a.address_hash
)
SELECT m.channel, m.address_hash, m.reason, m.happened_at
FROM missing AS m
LEFT JOIN agreed AS a ON a.channel = m.channel AND a.address_hash = m.address_hash AND a.happened_at > m.happened_at
WHERE a.channel IS NULL
