-- One row per officer, also without events.
SELECT o.officer_id, o.full_name, coalesce(f.clicks, 0), coalesce(f.signups, 0),
       referrals.click_to_signup_rate(coalesce(f.signups, 0), coalesce(f.clicks, 0))
FROM referrals.officer AS o
LEFT JOIN (
    SELECT l.officer_id, sum(m.total_clicks)::bigint AS clicks, sum(m.total_signups)::bigint AS signups
    FROM referrals.daily_metrics AS m JOIN referrals.referral_link AS l USING (tenant_id, referral_link_id)
    WHERE m.tenant_id = %(tenant)s
    GROUP BY l.officer_id
) AS f ON f.officer_id = o.officer_id
WHERE o.tenant_id = %(tenant)s
ORDER BY o.full_name, o.officer_id
