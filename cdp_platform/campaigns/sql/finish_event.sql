-- How an event ends whose every delivery has ended; nothing where one is open, or where there is no audience yet.
SELECT CASE WHEN EXISTS (
    SELECT FROM campaigns.delivery_log AS d
    WHERE d.tenant_id = s.tenant_id AND d.event_id = s.event_id AND d.state IN ('failed', 'unknown') AND NOT d.superseded
) THEN 'partly_failed' ELSE 'done' END
FROM campaigns.segment_snapshot AS s
WHERE s.tenant_id = %(tenant)s AND s.event_id = %(event)s AND NOT EXISTS (
    SELECT FROM campaigns.delivery_log AS d
    WHERE d.tenant_id = s.tenant_id AND d.event_id = s.event_id
      AND (d.state IN ('reserved', 'handed_over') OR d.state = 'unknown' AND d.due_at IS NOT NULL))
