SELECT s.ctid FROM campaigns.segment_snapshot AS s
JOIN campaigns.marketing_event AS e ON e.tenant_id = s.tenant_id AND e.event_id = s.event_id
WHERE s.tenant_id = %(tenant)s AND e.ended_at < %(until)s AND e.type = 'message'
