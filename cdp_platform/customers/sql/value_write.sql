-- Writes only rows whose figures changed.
WITH fresh AS MATERIALIZED (
    SELECT s.*, e.orders AS expected_orders, round(e.spend::numeric, 2) AS expected_spend, e.alive
    FROM stage_value AS s LEFT JOIN stage_expectation AS e USING (number)
),
held AS MATERIALIZED (
    SELECT * FROM customers.customer_value WHERE tenant_id = %(tenant)s
),
gone AS (
    DELETE FROM customers.customer_value AS v
    WHERE v.tenant_id = %(tenant)s
      AND NOT EXISTS (SELECT FROM fresh AS f WHERE f.profile_id = v.profile_id AND f.currency = v.currency)
),
written AS (
    INSERT INTO customers.customer_value (
        tenant_id, profile_id, currency, as_of, orders, spend, first_purchase, last_purchase,
        recency_score, frequency_score, monetary_score, expected_orders_365d, expected_spend_365d, probability_alive)
    SELECT %(tenant)s, f.profile_id, f.currency, %(day)s, f.orders, f.spend, f.first_purchase, f.last_purchase,
           f.recency_score, f.frequency_score, f.monetary_score, f.expected_orders, f.expected_spend, f.alive
    FROM fresh AS f LEFT JOIN held AS h ON h.profile_id = f.profile_id AND h.currency = f.currency
    WHERE h.profile_id IS NULL
       OR (h.as_of, h.orders, h.spend, h.first_purchase, h.last_purchase, h.recency_score, h.frequency_score,
           h.monetary_score, h.expected_orders_365d, h.expected_spend_365d, h.probability_alive)
          IS DISTINCT FROM
          (%(day)s::date, f.orders, f.spend, f.first_purchase, f.last_purchase, f.recency_score, f.frequency_score,
           f.monetary_score, f.expected_orders, f.expected_spend, f.alive)
    ON CONFLICT (tenant_id, profile_id, currency) DO UPDATE
    SET as_of = excluded.as_of, orders = excluded.orders, spend = excluded.spend,
        first_purchase = excluded.first_purchase, last_purchase = excluded.last_purchase,
        recency_score = excluded.recency_score, frequency_score = excluded.frequency_score,
        monetary_score = excluded.monetary_score, expected_orders_365d = excluded.expected_orders_365d,
        expected_spend_365d = excluded.expected_spend_365d, probability_alive = excluded.probability_alive,
        updated_at = now()
    RETURNING 1
)
SELECT (SELECT count(*) FROM fresh), (SELECT count(*) FROM written)
