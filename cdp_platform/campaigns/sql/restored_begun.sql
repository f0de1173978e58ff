UPDATE campaigns.marketing_event SET status = 'running'
WHERE tenant_id = %(tenant)s AND status = 'planned' AND campaigns.begins_at(start_at, local_time) <= now()
