UPDATE campaigns.marketing_event
SET status = 'paused', status_reason = 'the warehouse was restored from a backup, and messages may have been sent since'
WHERE tenant_id = %(tenant)s AND status = 'running'
