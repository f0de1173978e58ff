SELECT 'held' AS about, channel, state AS what, count(*) AS people
FROM campaigns.consent_management WHERE tenant_id = %s GROUP BY 1, 2, 3
UNION ALL
SELECT 'cdp', 'email', CASE receive_email WHEN true THEN 'agreed' WHEN false THEN 'refused' ELSE 'no data' END, count(*)
FROM customers.cdp_profiles WHERE tenant_id = %s AND closed_at IS NULL GROUP BY 1, 2, 3
UNION ALL
SELECT 'cdp', 'sms', CASE receive_sms WHEN true THEN 'agreed' WHEN false THEN 'refused' ELSE 'no data' END, count(*)
FROM customers.cdp_profiles WHERE tenant_id = %s AND closed_at IS NULL GROUP BY 1, 2, 3
UNION ALL
SELECT 'suppressed', channel, reason, count(*) FROM campaigns.suppression WHERE tenant_id = %s GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
