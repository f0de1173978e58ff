SELECT count(*) FILTER (
    WHERE m.currency <> 'USD' AND (
        coalesce(own.cac, everywhere.cac) IS NULL
        OR coalesce(own.clv_happy_threshold, everywhere.clv_happy_threshold) IS NULL)), count(*)
FROM customers.customer_metrics AS m
LEFT JOIN customers.tenant_metrics_config AS own USING (tenant_id, currency)
LEFT JOIN customers.tenant_metrics_config AS everywhere
    ON everywhere.tenant_id = m.tenant_id AND everywhere.currency = '*'
WHERE m.tenant_id = %(tenant)s AND m.currency <> 'XXX'
