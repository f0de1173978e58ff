SELECT count(*) FROM campaigns.delivery_log WHERE tenant_id = %(tenant)s AND state = 'unknown' AND due_at IS NULL
