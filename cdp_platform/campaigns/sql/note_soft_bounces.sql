-- Addresses with so many soft bounces in 30 days that they count as a hard one. Each delivery counts once, however often it was tried.
WITH bounced AS (
    SELECT address_hash, array_agg(happened_at) AS moments
    FROM unnest(%(hashes)s::bytea[], %(moments)s::timestamptz[]) AS b (address_hash, happened_at)
    GROUP BY address_hash ORDER BY address_hash
), noted AS (
    INSERT INTO campaigns.recipient AS r (tenant_id, channel, address_hash, soft_bounces)
    SELECT %(tenant)s, %(channel)s, b.address_hash, b.moments FROM bounced AS b
    ON CONFLICT (tenant_id, channel, address_hash) DO UPDATE SET soft_bounces = ARRAY(
        SELECT m FROM unnest(r.soft_bounces || excluded.soft_bounces) AS m WHERE m > now() - interval '30 days' ORDER BY m)
    RETURNING address_hash, soft_bounces
)
SELECT address_hash FROM noted WHERE cardinality(soft_bounces) >= %(most)s
