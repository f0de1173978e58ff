-- One row per day from 90 days ago to today, also without events.
WITH day AS MATERIALIZED (
    SELECT (%(moment)s AT TIME ZONE %(zone)s)::date + days AS date FROM generate_series(-90, 0) AS ago (days)
)
SELECT d.date::text, coalesce(f.clicks, 0), coalesce(f.signups, 0),
       referrals.click_to_signup_rate(coalesce(f.signups, 0), coalesce(f.clicks, 0))
FROM day AS d
LEFT JOIN (
    SELECT metric_date, sum(total_clicks)::bigint AS clicks, sum(total_signups)::bigint AS signups
    FROM referrals.daily_metrics
    WHERE tenant_id = %(tenant)s
      AND metric_date >= (SELECT min(date) FROM day) AND metric_date <= (SELECT max(date) FROM day)
    GROUP BY metric_date
) AS f ON f.metric_date = d.date
ORDER BY d.date
