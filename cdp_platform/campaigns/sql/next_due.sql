SELECT min(due_at) FROM campaigns.delivery_log
WHERE tenant_id = %(tenant)s AND event_id = %(event)s AND state IN ('reserved', 'unknown')
