SELECT count(*) FILTER (WHERE stored.spend IS DISTINCT FROM source.spend), count(*)
FROM (
    SELECT currency, sum(spend) AS spend FROM customers.customer_value
    WHERE tenant_id = %(tenant)s AND currency <> 'XXX' GROUP BY currency
) AS stored
FULL JOIN (
    SELECT t.currency, coalesce(sum(t.amount), 0) AS spend
    FROM customers.transactions AS t JOIN customers.cdp_profiles AS p USING (tenant_id, profile_id)
    LEFT JOIN customers.value_model AS m USING (tenant_id, currency)
    WHERE t.tenant_id = %(tenant)s AND t.currency IS NOT NULL AND t.closed_at IS NULL AND p.closed_at IS NULL
      AND (t.occurred_at <= m.computed_at) IS NOT FALSE
    GROUP BY t.currency
) AS source USING (currency)
