SELECT m.decision, m.reason, m.time_zone, d.state::text AS state, d.reason AS delivery_reason, d.due_at, d.handed_over_at
FROM campaigns.segment_snapshot_member AS m
LEFT JOIN campaigns.delivery_log AS d
    ON d.tenant_id = m.tenant_id AND d.event_id = m.snapshot_id AND d.profile_id = m.profile_id AND NOT d.superseded
WHERE m.tenant_id = %(tenant)s AND m.snapshot_id = %(event)s AND m.profile_id = %(profile)s
