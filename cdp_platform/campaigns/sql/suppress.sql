INSERT INTO campaigns.suppression AS s (tenant_id, channel, address_hash, reason, detail, since)
SELECT %(tenant)s, %(channel)s, g.hash, %(reason)s, %(detail)s, least(max(g.since), clock_timestamp())
FROM unnest(%(hashes)s::bytea[], %(since)s::timestamptz[]) AS g (hash, since)
GROUP BY g.hash ORDER BY g.hash
ON CONFLICT (tenant_id, channel, address_hash) DO UPDATE
SET reason = excluded.reason, detail = excluded.detail, since = excluded.since
WHERE s.reason = 'opt_out' AND (excluded.reason <> 'opt_out' OR excluded.since > s.since)
RETURNING xmax = 0 AS is_new
