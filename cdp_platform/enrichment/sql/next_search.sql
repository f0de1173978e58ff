-- The search that was paid first, of those that have open contacts and were not looked at yet.
SELECT search_id, personal_emails, phones, credit_limit, money_limit, credits + credits_reserved AS used, credit_price,
    credit_currency, waiting + original AS open_contacts
FROM enrichment.search
WHERE tenant_id = %(tenant)s AND status = 'enriching' AND waiting + original > 0 AND search_id <> ALL (%(done)s)
ORDER BY paid_at, search_id LIMIT 1
