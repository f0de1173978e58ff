INSERT INTO campaigns.suppression (tenant_id, channel, address_hash, reason, detail)
SELECT %(tenant)s, %(channel)s, hash, 'hard_bounce', answer
FROM unnest(%(hashes)s::bytea[], %(answers)s::text[]) AS bounced (hash, answer)
ON CONFLICT DO NOTHING
