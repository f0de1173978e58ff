SELECT e.event_id, e.search_id, e.payment_intent, e.amount, e.currency, e.reason, e.received_at
FROM enrichment.payment_event AS e
WHERE e.tenant_id = %(tenant)s AND e.outcome = 'refused' AND NOT EXISTS (
    SELECT FROM enrichment.payment_event AS r
    WHERE r.tenant_id = e.tenant_id AND r.type = 'charge.refunded' AND r.payment_intent = e.payment_intent
      AND r.amount >= e.amount
)
ORDER BY e.received_at, e.event_id
