-- The three customers of most expected spend in each currency: amounts in different currencies cannot be compared.
SELECT r.tenant_id, r.currency, coalesce(nullif(concat_ws(' ', p.first_name, p.last_name), ''), p.profile_id),
       r.orders, r.spend::float8, r.expected_spend_365d::float8, 100 * r.probability_alive
FROM (
    SELECT *, row_number() OVER (PARTITION BY currency
        ORDER BY expected_spend_365d DESC NULLS LAST, spend DESC, profile_id) AS place
    FROM customers.customer_value WHERE orders > 0 AND currency <> 'XXX'
) AS r JOIN customers.cdp_profiles AS p USING (tenant_id, profile_id)
WHERE r.place <= 3 ORDER BY r.currency, r.place
