-- Deliveries, as reserved or excluded; the next statements move them on as any other. Recent ones count for caps. The provider's
-- words are left there: they can hold data of the person.
INSERT INTO campaigns.delivery_log AS d (tenant_id, delivery_id, event_id, profile_id, channel, step, state, reason, due_at,
    created_at, handed_over_at, settled_at, origin)
SELECT %(tenant)s, 'leo-activation:' || key, event_id, profile_id, channel,
       row_number() OVER (
           PARTITION BY event_id, profile_id, channel ORDER BY (document ->> 'delivery_id')::bigint),
       CASE WHEN state = 'excluded' THEN state ELSE 'reserved' END, reason, at, (document ->> 'created_at')::timestamptz,
       CASE WHEN state <> 'excluded' THEN at END, at, 'leo-activation'
FROM leo_row
CROSS JOIN LATERAL (
    SELECT coalesce((document ->> 'sent_at')::timestamptz, (document ->> 'created_at')::timestamptz)
) AS happened (at)
WHERE relation = 'delivery_log' AND code IS NULL
ON CONFLICT (tenant_id, delivery_id) DO NOTHING
