SELECT event_id FROM campaigns.marketing_event WHERE tenant_id = %(tenant)s AND status = 'running' ORDER BY event_id
