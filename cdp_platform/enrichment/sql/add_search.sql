INSERT INTO enrichment.search
    (tenant_id, search_id, name, price, currency, personal_emails, phones, credit_limit, money_limit)
VALUES (
    %(tenant)s, %(search)s, %(name)s, %(price)s, %(currency)s, %(personal_emails)s, %(phones)s, %(credit_limit)s,
    %(money_limit)s)
