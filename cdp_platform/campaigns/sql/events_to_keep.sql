-- The given events that are open or ended not long ago.
SELECT event_id FROM campaigns.marketing_event
WHERE tenant_id = %(tenant)s AND event_id = ANY (%(events)s)
  AND coalesce(ended_at, 'infinity') > now() - make_interval(days => %(days)s)
