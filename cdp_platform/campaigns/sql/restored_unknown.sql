UPDATE campaigns.delivery_log SET state = 'unknown', reason = 'restored', settled_at = now(), claim = NULL, lease_until = NULL,
    due_at = NULL
WHERE tenant_id = %(tenant)s AND state = 'handed_over'
