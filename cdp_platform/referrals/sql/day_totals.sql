-- The stored totals of these days, without the end.
SELECT count(*) AS rows, coalesce(sum(total_clicks), 0)::bigint AS clicks,
       coalesce(sum(total_signups), 0)::bigint AS signups,
       coalesce(sum(flagged_clicks), 0)::bigint AS flagged_clicks,
       coalesce(sum(flagged_signups), 0)::bigint AS flagged_signups,
       referrals.click_to_signup_rate(
           coalesce(sum(total_signups), 0)::bigint, coalesce(sum(total_clicks), 0)::bigint
       )::float8 AS click_to_signup_rate
FROM referrals.daily_metrics WHERE tenant_id = %(tenant)s AND metric_date >= %(first)s AND metric_date < %(end)s
