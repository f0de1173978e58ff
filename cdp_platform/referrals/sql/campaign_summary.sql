-- One row per campaign, also without events. The days of the campaign so far are the local days from its start to its end or
-- today, whichever is earlier, both counted; at least one.
SELECT c.campaign_id, c.name, d.starts_on::text, coalesce(nullif(d.ends_on, 'infinity')::text, ''),
       coalesce(f.clicks, 0), coalesce(f.signups, 0),
       referrals.click_to_signup_rate(coalesce(f.signups, 0), coalesce(f.clicks, 0)),
       round(coalesce(f.signups, 0)::numeric / greatest(least(d.ends_on, d.today) - d.starts_on + 1, 1), 2)
FROM referrals.campaign AS c
CROSS JOIN LATERAL (
    SELECT (c.starts_at AT TIME ZONE %(zone)s)::date AS starts_on, (c.ends_at AT TIME ZONE %(zone)s)::date AS ends_on,
           (%(moment)s AT TIME ZONE %(zone)s)::date AS today
) AS d
LEFT JOIN (
    SELECT l.campaign_id, sum(m.total_clicks)::bigint AS clicks, sum(m.total_signups)::bigint AS signups
    FROM referrals.daily_metrics AS m JOIN referrals.referral_link AS l USING (tenant_id, referral_link_id)
    WHERE m.tenant_id = %(tenant)s
    GROUP BY l.campaign_id
) AS f ON f.campaign_id = c.campaign_id
WHERE c.tenant_id = %(tenant)s
ORDER BY d.starts_on, c.campaign_id
