-- Reports that are new, with what their deliveries say. In the order of their ids, so that two who take the same wait and do not
-- block each other.
WITH reported AS (
    SELECT * FROM unnest(
        %(ids)s::text[], %(keys)s::text[], %(kinds)s::text[], %(codes)s::text[], %(moments)s::timestamptz[]
    ) AS r (outcome_id, message_key, kind, status_code, happened_at)
), taken AS (
    INSERT INTO campaigns.delivery_outcome (tenant_id, outcome_id, delivery_id, kind, status_code, happened_at)
    SELECT %(tenant)s, r.outcome_id, d.delivery_id, r.kind, nullif(r.status_code, ''), least(r.happened_at, now())
    FROM reported AS r
    JOIN campaigns.delivery_log AS d
        ON d.tenant_id = %(tenant)s AND d.message_key = r.message_key AND d.channel = %(channel)s
    ORDER BY r.outcome_id
    ON CONFLICT DO NOTHING
    RETURNING delivery_id, kind, status_code, happened_at
)
SELECT t.delivery_id, d.event_id, d.message_key AS key, d.address_hash, t.kind, coalesce(t.status_code, '') AS code, t.happened_at,
    NOT EXISTS (
        -- Sees the rows from before this statement.
        SELECT FROM campaigns.delivery_outcome AS o
        WHERE o.tenant_id = %(tenant)s AND o.delivery_id = t.delivery_id AND o.kind = t.kind
    ) AS is_first
FROM taken AS t
JOIN campaigns.delivery_log AS d ON d.tenant_id = %(tenant)s AND d.delivery_id = t.delivery_id
