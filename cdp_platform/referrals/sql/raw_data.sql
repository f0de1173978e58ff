-- Events by their positions. A signup has the IP address and browser of its click. A deleted event has NULLs.
-- OFFSET 0 makes the planner look up each event in an index, also when its statistics are out of date.
SELECT x.position, x.event_type, coalesce(c.occurred_at, s.occurred_at), l.referral_link_id, l.officer_id,
       l.campaign_id, g.name, s.email, coalesce(c.ip, o.ip), coalesce(c.user_agent, o.user_agent)
FROM referrals.exported_event AS x
LEFT JOIN LATERAL (
    SELECT * FROM referrals.click_event
    WHERE x.event_type = 'click' AND tenant_id = x.tenant_id AND click_event_id = x.event_id OFFSET 0
) AS c ON true
LEFT JOIN LATERAL (
    SELECT * FROM referrals.signup_event
    WHERE x.event_type = 'signup' AND tenant_id = x.tenant_id AND signup_event_id = x.event_id OFFSET 0
) AS s ON true
LEFT JOIN LATERAL (
    SELECT * FROM referrals.click_event WHERE tenant_id = x.tenant_id AND click_event_id = s.click_event_id OFFSET 0
) AS o ON true
LEFT JOIN LATERAL (
    SELECT * FROM referrals.referral_link
    WHERE tenant_id = x.tenant_id AND referral_link_id = coalesce(c.referral_link_id, s.referral_link_id) OFFSET 0
) AS l ON true
LEFT JOIN LATERAL (
    SELECT * FROM referrals.campaign WHERE tenant_id = x.tenant_id AND campaign_id = l.campaign_id OFFSET 0
) AS g ON true
WHERE x.tenant_id = %(tenant)s AND x.spreadsheet_id = %(spreadsheet)s AND {which}
ORDER BY x.position
