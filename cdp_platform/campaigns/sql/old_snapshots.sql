SELECT s.ctid FROM campaigns.segment_snapshot AS s
JOIN campaigns.marketing_event AS e ON e.tenant_id = s.tenant_id AND e.event_id = s.event_id
WHERE s.tenant_id = %(tenant)s AND e.ended_at < %(until)s AND e.type = 'message' AND NOT EXISTS (
    SELECT FROM campaigns.delivery_log AS d
    WHERE d.tenant_id = s.tenant_id AND d.event_id = s.event_id AND d.state IN ('reserved', 'handed_over', 'unknown'))
