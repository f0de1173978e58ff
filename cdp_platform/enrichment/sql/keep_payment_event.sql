INSERT INTO enrichment.payment_event (
    tenant_id, event_id, type, search_id, payment_intent, amount, currency, outcome, reason, happened_at
) VALUES (
    %(tenant)s, %(event)s, %(type)s, %(search)s, %(payment)s, %(amount)s, %(currency)s, %(outcome)s,
    nullif(%(reason)s, ''), %(happened_at)s
)
