SELECT d.ctid FROM campaigns.delivery_log AS d
JOIN campaigns.marketing_event AS e ON e.tenant_id = d.tenant_id AND e.event_id = d.event_id
WHERE d.tenant_id = %(tenant)s AND e.ended_at < %(until)s AND e.type = 'message'
  AND d.state NOT IN ('reserved', 'handed_over', 'unknown')
