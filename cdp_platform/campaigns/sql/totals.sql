SELECT s.people, e.state, e.reason, e.people
FROM campaigns.segment_snapshot AS s
LEFT JOIN campaigns.event_state AS e ON e.tenant_id = s.tenant_id AND e.event_id = s.event_id
WHERE s.tenant_id = %(tenant)s AND s.event_id = %(event)s
