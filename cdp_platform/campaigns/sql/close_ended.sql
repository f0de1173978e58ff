-- People who still wait get nothing once an event that runs has ended.
UPDATE campaigns.delivery_log SET settled_at = now(),
    state = CASE WHEN attempts > 0 THEN 'failed' ELSE 'excluded' END,
    reason = CASE WHEN attempts > 0 THEN 'expired' ELSE 'too_late' END
WHERE tenant_id = %(tenant)s AND delivery_id = ANY (ARRAY(
    SELECT d.delivery_id FROM campaigns.marketing_event AS e
    JOIN campaigns.delivery_log AS d ON d.tenant_id = e.tenant_id AND d.event_id = e.event_id AND d.state = 'reserved'
    WHERE e.tenant_id = %(tenant)s AND e.status = 'running' AND e.end_at < now()
    FOR UPDATE OF d SKIP LOCKED))
