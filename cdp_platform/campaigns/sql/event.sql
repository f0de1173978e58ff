SELECT tenant_id, event_id, campaign_code, name, description, type, channel, segment_id, template, start_at, end_at, grace,
    local_time, rate_per_minute, holdout_share::float8 AS holdout_share, status, status_reason
FROM campaigns.marketing_event
WHERE tenant_id = %(tenant)s AND event_id = %(event)s
