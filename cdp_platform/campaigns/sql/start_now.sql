UPDATE campaigns.marketing_event SET start_at = now(), local_time = false, updated_at = now()
WHERE tenant_id = %(tenant)s AND event_id = %(event)s AND status = 'planned' AND end_at > now()
