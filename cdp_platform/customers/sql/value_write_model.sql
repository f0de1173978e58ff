INSERT INTO customers.value_model (
    tenant_id, currency, as_of, data_ended, customers, repeat_customers, r, alpha, a, b, p, q, gamma, reason)
VALUES (%(tenant)s, %(currency)s, %(day)s, %(ended)s, %(customers)s, %(repeat_customers)s,
        %(r)s, %(alpha)s, %(a)s, %(b)s, %(p)s, %(q)s, %(gamma)s, %(reason)s)
ON CONFLICT (tenant_id, currency) DO UPDATE
SET as_of = excluded.as_of, data_ended = excluded.data_ended, customers = excluded.customers,
    repeat_customers = excluded.repeat_customers, r = excluded.r, alpha = excluded.alpha, a = excluded.a, b = excluded.b,
    p = excluded.p, q = excluded.q, gamma = excluded.gamma, reason = excluded.reason, computed_at = now()
