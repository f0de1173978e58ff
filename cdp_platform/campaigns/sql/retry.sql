INSERT INTO campaigns.delivery_log (
    tenant_id, event_id, profile_id, channel, step, address_hash, message_key, state, due_at, time_zone)
SELECT d.tenant_id, d.event_id, d.profile_id, d.channel, d.step + 1, d.address_hash,
    campaigns.message_key(ops.salt_of(d.tenant_id), d.event_id, d.profile_id, d.channel, d.step + 1), 'reserved', now(), d.time_zone
FROM campaigns.delivery_log AS d
WHERE d.tenant_id = %(tenant)s AND d.event_id = %(event)s AND d.state = 'failed' AND NOT d.superseded
  AND d.profile_id IS NOT NULL AND d.reason IS DISTINCT FROM 'bad_address'
ON CONFLICT DO NOTHING
