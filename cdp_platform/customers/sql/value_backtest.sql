-- One row per customer and currency of the stage: what it was expected to spend, what the older formula would have said,
-- and what it did spend in the days after, refunds included.
SELECT s.currency, e.spend AS expected,
       coalesce(m.avg_order_value * m.freq_90d * %(days)s / 90, 0) AS older,
       coalesce(t.spend, 0) AS actual
FROM stage_value AS s
LEFT JOIN stage_expectation AS e USING (number)
LEFT JOIN customers.customer_figures(%(tenant)s, %(until)s, NULL) AS m
    ON m.profile_id = s.profile_id AND m.currency = s.currency
LEFT JOIN (
    SELECT profile_id, currency, sum(amount) AS spend
    FROM customers.transactions
    WHERE tenant_id = %(tenant)s AND closed_at IS NULL AND occurred_at > %(until)s AND occurred_at <= %(end)s
    GROUP BY profile_id, currency
) AS t ON t.profile_id = s.profile_id AND t.currency = s.currency
WHERE s.orders > 0 AND s.currency <> 'XXX'
ORDER BY s.currency, s.profile_id
