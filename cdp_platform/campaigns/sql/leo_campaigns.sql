-- Campaigns, and one for each code that events name and no campaign has. One that is here stays as it is.
INSERT INTO campaigns.campaign (tenant_id, code, name, objective, start_at, end_at, origin)
SELECT DISTINCT ON (campaign_code)
    %(tenant)s, campaign_code, coalesce(document ->> 'campaign_name', document ->> 'campaign_code', campaign_code), document ->> 'objective', span.start_at,
    CASE WHEN span.end_at < span.start_at THEN NULL ELSE span.end_at END, 'leo-activation'
FROM leo_row
CROSS JOIN LATERAL (
    SELECT (document ->> 'start_at')::timestamptz, (document ->> 'end_at')::timestamptz WHERE relation = 'campaign'
    UNION ALL
    SELECT NULL, NULL WHERE relation = 'marketing_event'
) AS span (start_at, end_at)
WHERE code IS NULL
ORDER BY campaign_code, relation
ON CONFLICT DO NOTHING
