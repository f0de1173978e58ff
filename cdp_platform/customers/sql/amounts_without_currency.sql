SELECT count(*) FILTER (WHERE amount <> 0 AND currency IS NULL), count(*)
FROM customers.transactions WHERE tenant_id = %(tenant)s AND closed_at IS NULL
