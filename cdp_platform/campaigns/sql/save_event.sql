INSERT INTO campaigns.marketing_event (
    tenant_id, event_id, campaign_code, name, description, type, channel, segment_id, template, start_at, end_at, grace,
    local_time, rate_per_minute, holdout_share)
VALUES (
    %(tenant)s, %(event_id)s, %(campaign_code)s, %(name)s, %(description)s, %(type)s, %(channel)s, %(segment_id)s,
    %(template)s, %(start_at)s, %(end_at)s, %(grace)s, %(local_time)s, %(rate_per_minute)s, %(holdout_share)s)
ON CONFLICT (tenant_id, event_id) DO UPDATE SET
    campaign_code = excluded.campaign_code, name = excluded.name, description = excluded.description,
    type = excluded.type, channel = excluded.channel, segment_id = excluded.segment_id, template = excluded.template,
    start_at = excluded.start_at, end_at = excluded.end_at, grace = excluded.grace, local_time = excluded.local_time,
    rate_per_minute = excluded.rate_per_minute, holdout_share = excluded.holdout_share, updated_at = now()
