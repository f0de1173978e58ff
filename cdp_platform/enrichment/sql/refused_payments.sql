SELECT event_id, type, reason
FROM enrichment.payment_event
WHERE tenant_id = %(tenant)s AND outcome = 'refused' AND received_at > now() - make_interval(days => %(days)s)
ORDER BY received_at DESC, event_id
