-- Everybody behind an address: who was written to there, and who has it now. Known by the deliveries, whose index has the hash:
-- hashing the address of every profile would take seconds.
WITH written_to AS (
    SELECT DISTINCT d.address_hash, d.profile_id
    FROM campaigns.delivery_log AS d
    WHERE d.tenant_id = %(tenant)s AND d.address_hash = ANY (%(hashes)s) AND d.handed_over_at IS NOT NULL
      AND d.profile_id IS NOT NULL
), address AS (
    SELECT DISTINCT w.address_hash, a.address, a.kind
    FROM written_to AS w
    JOIN customers.cdp_profiles AS p ON p.tenant_id = %(tenant)s AND p.profile_id = w.profile_id
    CROSS JOIN LATERAL (VALUES (p.primary_email, 'email'), (p.primary_phone, 'phone')) AS a (address, kind)
    JOIN ops.address_salt AS s ON s.tenant_id = %(tenant)s
    WHERE w.address_hash = ops.address_hash(s.salt, a.address)
), behind AS (
    SELECT address_hash, profile_id, false AS has_it FROM written_to
    UNION ALL
    SELECT a.address_hash, p.profile_id, true FROM address AS a
    JOIN customers.cdp_profiles AS p ON p.tenant_id = %(tenant)s AND p.primary_email = a.address
    WHERE a.kind = 'email'
    UNION ALL
    SELECT a.address_hash, p.profile_id, true FROM address AS a
    JOIN customers.cdp_profiles AS p ON p.tenant_id = %(tenant)s AND p.primary_phone = a.address
    WHERE a.kind = 'phone'
)
SELECT address_hash, profile_id, bool_or(has_it) AS has_it FROM behind GROUP BY address_hash, profile_id
