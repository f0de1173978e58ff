-- Events, with a status from which none moves. Their segment and template were never written down there.
INSERT INTO campaigns.marketing_event (tenant_id, event_id, campaign_code, name, description, channel, segment_id, template,
    start_at, end_at, status, status_reason, started_at, ended_at, origin)
SELECT DISTINCT ON (r.event_id)
    %(tenant)s, r.event_id, r.campaign_code,
    coalesce(document ->> 'marketing_event_name', document ->> 'event_name', r.event_id), document ->> 'event_description',
    r.channel, 'unknown', 'unknown', span.start_at, span.end_at,
    CASE
        WHEN said.word IN ('cancelled', 'canceled', 'archived') OR span.start_at > %(now)s THEN 'cancelled'
        WHEN sent.deliveries > 0 THEN CASE WHEN sent.failed > 0 THEN 'partly_failed' ELSE 'done' END
        WHEN said.word IN ('completed', 'done', 'sent', 'finished') THEN 'done'
        ELSE 'missed'
    END,
    'imported; it was ' || coalesce(nullif(said.word, ''), 'without a status'),
    CASE WHEN sent.deliveries > 0 THEN span.start_at END, least(span.end_at, %(now)s), 'leo-activation'
FROM leo_row AS r
CROSS JOIN LATERAL (SELECT lower(trim(document ->> 'status'))) AS said (word)
CROSS JOIN LATERAL (
    SELECT (document ->> 'start_at')::timestamptz,
           greatest((document ->> 'start_at')::timestamptz, (document ->> 'end_at')::timestamptz)
) AS span (start_at, end_at)
LEFT JOIN (
    SELECT event_id, count(*) FILTER (WHERE state <> 'excluded') AS deliveries, count(*) FILTER (WHERE state = 'failed') AS failed
    FROM leo_row WHERE relation = 'delivery_log' AND code IS NULL AND NOT superseded GROUP BY event_id
) AS sent ON sent.event_id = r.event_id
WHERE r.relation = 'marketing_event' AND r.code IS NULL
ON CONFLICT DO NOTHING
