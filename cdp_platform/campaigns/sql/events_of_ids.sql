SELECT event_id, status, campaign_code, name, description, type, channel, segment_id, template, start_at, end_at, grace,
    local_time, rate_per_minute, holdout_share
FROM campaigns.marketing_event
WHERE tenant_id = %(tenant)s AND event_id = ANY (%(keys)s)
FOR UPDATE
