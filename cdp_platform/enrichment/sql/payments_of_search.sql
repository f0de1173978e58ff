SELECT event_id, type, outcome, amount, currency, reason, received_at
FROM enrichment.payment_event WHERE tenant_id = %(tenant)s AND search_id = %(search)s ORDER BY received_at, event_id
