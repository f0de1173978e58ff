-- What each open profile has bought in each currency until a moment, how that ranks, and what the models need of it:
-- days with a repeat purchase, days from the first purchase to the last and to the moment, mean spend per repeat day.
WITH orders AS (
    -- As the view customers.orders, of the lines until then: a refund that comes later is not known yet.
    SELECT t.profile_id,
           coalesce(t.currency, 'XXX') AS currency,
           sum(t.amount) AS amount,
           coalesce(max(t.occurred_at) FILTER (WHERE t.amount >= 0 OR t.amount IS NULL),
                    max(t.occurred_at)) AS ordered_at,
           coalesce(min(t.amount) >= 0 OR sum(t.amount) > 0, true) AS is_purchase
    FROM customers.transactions AS t
    WHERE t.tenant_id = %(tenant)s AND t.closed_at IS NULL
      AND (t.occurred_at <= %(until)s OR t.occurred_at IS NULL)
    GROUP BY t.profile_id, coalesce(t.order_id, t.line_id), t.currency
),
-- Purchases of one day are one to the models, as in the papers. No day: purchases without a date.
days AS (
    SELECT profile_id, currency, is_purchase,
           CASE WHEN is_purchase THEN (ordered_at AT TIME ZONE %(zone)s)::date END AS day,
           count(*) AS orders, coalesce(sum(amount), 0) AS amount, min(ordered_at) AS first_order, max(ordered_at) AS last_order
    FROM orders
    GROUP BY 1, 2, 3, 4
),
customers AS (
    SELECT profile_id, currency,
           coalesce(sum(orders) FILTER (WHERE is_purchase), 0)::bigint AS orders,
           sum(amount) AS spend,
           min(first_order) FILTER (WHERE is_purchase) AS first_purchase,
           max(last_order) FILTER (WHERE is_purchase) AS last_purchase,
           count(day) AS days, min(day) AS first_day, max(day) AS last_day,
           -- Refunds lower the spend of repeat purchases: which purchase they are for is not known.
           sum(amount) FILTER (WHERE day IS NOT NULL OR NOT is_purchase)
           - (array_agg(amount ORDER BY day) FILTER (WHERE day IS NOT NULL))[1] AS repeat_spend
    FROM days
    GROUP BY profile_id, currency
)
INSERT INTO stage_value
SELECT row_number() OVER (),
       c.profile_id, c.currency, c.orders,
       CASE WHEN c.currency <> 'XXX' THEN c.spend END,
       c.first_purchase, c.last_purchase,
       CASE WHEN c.orders > 0 THEN 1 + 5 * (rank() OVER by_recency - 1) / count(*) OVER alike END,
       CASE WHEN c.orders > 0 THEN 1 + 5 * (rank() OVER by_orders - 1) / count(*) OVER alike END,
       CASE WHEN c.orders > 0 AND c.currency <> 'XXX'
            THEN 1 + 5 * (rank() OVER by_spend - 1) / count(*) OVER alike END,
       CASE WHEN c.days > 0 THEN c.days - 1 END,
       c.last_day - c.first_day,
       %(day)s::date - c.first_day,
       CASE WHEN c.days > 1 THEN c.repeat_spend / (c.days - 1) END
FROM customers AS c
JOIN customers.cdp_profiles AS p
    ON p.tenant_id = %(tenant)s AND p.profile_id = c.profile_id AND p.closed_at IS NULL
WINDOW alike AS (PARTITION BY c.currency, c.orders > 0),
       by_recency AS (PARTITION BY c.currency, c.orders > 0 ORDER BY c.last_purchase NULLS FIRST),
       by_orders AS (PARTITION BY c.currency, c.orders > 0 ORDER BY c.orders),
       by_spend AS (PARTITION BY c.currency, c.orders > 0 ORDER BY c.spend)
