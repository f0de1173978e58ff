-- Also those whose audience went in an earlier round, which stopped before it came to them. An unresolved delivery needs the
-- audience of its event: it says who was chosen and why.
SELECT m.ctid FROM campaigns.segment_snapshot_member AS m
LEFT JOIN campaigns.segment_snapshot AS s ON s.tenant_id = m.tenant_id AND s.snapshot_id = m.snapshot_id
LEFT JOIN campaigns.marketing_event AS e ON e.tenant_id = s.tenant_id AND e.event_id = s.event_id
WHERE m.tenant_id = %(tenant)s AND (
    s.snapshot_id IS NULL
    OR e.ended_at < %(until)s AND e.type = 'message' AND NOT EXISTS (
        SELECT FROM campaigns.delivery_log AS d
        WHERE d.tenant_id = s.tenant_id AND d.event_id = s.event_id AND d.state IN ('reserved', 'handed_over', 'unknown')))
