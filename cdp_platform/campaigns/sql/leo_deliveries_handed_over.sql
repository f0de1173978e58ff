UPDATE campaigns.delivery_log SET state = 'handed_over'
WHERE tenant_id = %(tenant)s AND origin = 'leo-activation' AND state = 'reserved'
