WITH people AS MATERIALIZED (SELECT %(profile)s AS profile_id), {permission}
SELECT d.event_id, d.channel, d.handed_over_at FROM recent AS r
JOIN campaigns.delivery_log AS d ON d.tenant_id = %(tenant)s AND d.delivery_id = r.delivery_id
ORDER BY d.handed_over_at, d.event_id
