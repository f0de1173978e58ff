UPDATE campaigns.delivery_log SET state = 'excluded', reason = 'cancelled', settled_at = now()
WHERE tenant_id = %(tenant)s AND event_id = %(event)s AND state = 'reserved'
