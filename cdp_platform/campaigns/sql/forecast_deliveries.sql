(
    SELECT tenant_id, delivery_id, profile_id, address_hash, channel, event_id, state::text, handed_over_at
    FROM campaigns.delivery_log
    UNION ALL
    SELECT %(tenant)s, event_id || ' ' || profile_id, profile_id, address_hash, channel, event_id, 'confirmed', sent_at
    FROM pg_temp.forecast WHERE reason IS NULL
)
