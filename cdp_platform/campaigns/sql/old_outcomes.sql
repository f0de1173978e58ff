-- Also those whose delivery went in an earlier round, which stopped before it came to them.
SELECT o.ctid FROM campaigns.delivery_outcome AS o
LEFT JOIN campaigns.delivery_log AS d ON d.tenant_id = o.tenant_id AND d.delivery_id = o.delivery_id
LEFT JOIN campaigns.marketing_event AS e ON e.tenant_id = d.tenant_id AND e.event_id = d.event_id
WHERE o.tenant_id = %(tenant)s AND (
    d.delivery_id IS NULL
    OR e.ended_at < %(until)s AND e.type = 'message' AND d.state NOT IN ('reserved', 'handed_over', 'unknown'))
