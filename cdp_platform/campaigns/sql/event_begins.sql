-- When an event begins, whether that time has come, and whether it is too late for it by now.
SELECT b.at, b.at <= now(), b.at + e.grace < now()
FROM campaigns.marketing_event AS e
CROSS JOIN LATERAL (SELECT campaigns.begins_at(e.start_at, e.local_time) AS at) AS b
WHERE e.tenant_id = %(tenant)s AND e.event_id = %(event)s
