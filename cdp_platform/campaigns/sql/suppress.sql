INSERT INTO campaigns.suppression AS s (tenant_id, channel, address_hash, reason, detail)
SELECT %(tenant)s, %(channel)s, hash, %(reason)s, %(detail)s
FROM (SELECT DISTINCT hash FROM unnest(%(hashes)s::bytea[]) AS hash ORDER BY hash) AS given
ON CONFLICT (tenant_id, channel, address_hash) DO UPDATE
SET reason = excluded.reason, detail = excluded.detail, since = excluded.since
WHERE s.reason = 'opt_out' AND excluded.reason <> 'opt_out'
