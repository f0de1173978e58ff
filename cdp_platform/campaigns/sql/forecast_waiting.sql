SELECT profile_id FROM campaigns.delivery_log
WHERE tenant_id = {tenant} AND event_id = {event} AND state = 'reserved' AND profile_id IS NOT NULL
