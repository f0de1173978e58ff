-- Those that an erasure took away, or that nobody wrote to before; in order, as two batches could wait for each other.
INSERT INTO campaigns.recipient (tenant_id, channel, address_hash)
SELECT %(tenant)s, '*', hash FROM unnest(%(hashes)s::bytea[]) AS hash ORDER BY hash
ON CONFLICT DO NOTHING
