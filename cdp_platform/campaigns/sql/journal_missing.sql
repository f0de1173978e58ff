-- Opt-outs that the warehouse does not have: the address is not suppressed, and nobody behind it agreed later.
SELECT g.channel, g.address_hash, g.reason, g.happened_at
FROM unnest(%(channels)s::text[], %(hashes)s::bytea[], %(reasons)s::text[], %(moments)s::timestamptz[])
    AS g (channel, address_hash, reason, happened_at)
WHERE NOT EXISTS (
    SELECT FROM campaigns.suppression AS s
    WHERE s.tenant_id = %(tenant)s AND s.channel = g.channel AND s.address_hash = g.address_hash
) AND NOT EXISTS (
    SELECT FROM campaigns.consent_management AS c
    JOIN campaigns.address_of AS a ON a.tenant_id = c.tenant_id AND a.profile_id = c.profile_id
    WHERE c.tenant_id = %(tenant)s AND c.channel = g.channel AND c.state = 'given' AND c.happened_at > g.happened_at
      AND a.address_hash = g.address_hash
)
