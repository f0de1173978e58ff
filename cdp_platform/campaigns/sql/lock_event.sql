SELECT FROM campaigns.marketing_event WHERE tenant_id = %s AND event_id = %s FOR NO KEY UPDATE
