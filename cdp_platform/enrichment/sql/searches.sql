SELECT search_id, name, status, status_reason, status_changed_at, personal_emails, phones, price, currency, credit_limit,
    money_limit, credits_reserved, credits, credit_price, credit_currency, payment_fee, cost, waiting, enriched, no_match,
    unusable, held, original, erased, rejected, not_before, created_at, paid_at, started_at, ended_at
FROM enrichment.search
WHERE tenant_id = %(tenant)s AND (search_id = %(search)s::uuid OR %(search)s::uuid IS NULL)
ORDER BY created_at, search_id
