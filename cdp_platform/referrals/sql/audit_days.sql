-- Events of these days, and what their figures add up to. Days that are to be counted again are left out.
WITH touched AS MATERIALIZED (
    SELECT DISTINCT (starts_at AT TIME ZONE %(zone)s)::date AS day
    FROM referrals.touched_quarter WHERE tenant_id = %(tenant)s
),
event AS (
    SELECT (occurred_at AT TIME ZONE %(zone)s)::date AS day, count(*) AS events
    FROM (
        SELECT occurred_at FROM referrals.click_event WHERE tenant_id = %(tenant)s
        UNION ALL
        SELECT occurred_at FROM referrals.signup_event WHERE tenant_id = %(tenant)s
    ) AS either
    WHERE occurred_at >= %(first)s - interval '1 day' AND occurred_at < %(end)s + interval '1 day'
    GROUP BY 1
)
SELECT (SELECT coalesce(sum(events), 0)::bigint FROM event
        WHERE day >= %(first)s AND day < %(end)s AND day NOT IN (SELECT day FROM touched)) AS events,
       (SELECT coalesce(sum(total_clicks + total_signups + flagged_clicks + flagged_signups), 0)::bigint
        FROM referrals.daily_metrics
        WHERE tenant_id = %(tenant)s AND metric_date >= %(first)s AND metric_date < %(end)s
          AND metric_date NOT IN (SELECT day FROM touched)) AS counted,
       (SELECT count(*) FROM touched WHERE day >= %(first)s AND day < %(end)s) AS days_touched
