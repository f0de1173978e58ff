-- Metrics that are exact, net of refunds and in the amounts of their own currency; and what a customer is worth by a
-- published model of purchases.

-- An order is the sum of its lines, refunds (negative amounts) among them, and is dated by its latest line that is no
-- refund. It is a purchase unless it holds a refund and nothing is left of it; a refund with an order id of its own is
-- therefore no purchase, and its amount still lowers the spend.
CREATE OR REPLACE VIEW customers.orders WITH (security_invoker = true) AS
SELECT tenant_id,
       profile_id,
       coalesce(order_id, line_id) AS order_id,
       currency,
       count(*) AS lines,
       sum(quantity) AS quantity,
       sum(amount) AS amount,
       coalesce(max(occurred_at) FILTER (WHERE amount >= 0 OR amount IS NULL), max(occurred_at)) AS ordered_at,
       coalesce(min(amount) >= 0 OR sum(amount) > 0, true) AS is_purchase
FROM customers.transactions
WHERE closed_at IS NULL
GROUP BY tenant_id, profile_id, coalesce(order_id, line_id), currency;
COMMENT ON VIEW customers.orders IS 'One row per customer, order and currency: the sum of its lines. A line without order id is an order of its own.';
COMMENT ON COLUMN customers.orders.amount IS 'Sum of the lines, net of refunds, in units of currency.';
COMMENT ON COLUMN customers.orders.ordered_at IS 'Time of the latest line that is not a refund; of the latest line where all are.';
COMMENT ON COLUMN customers.orders.is_purchase IS 'False for a refund with an order id of its own, and for an order that was refunded to zero or below.';

-- An amount has a currency, so it has no default that holds for all of them.
ALTER TABLE customers.tenant_metrics_config
    ALTER COLUMN cac DROP DEFAULT, ALTER COLUMN cac DROP NOT NULL,
    ALTER COLUMN clv_happy_threshold DROP DEFAULT, ALTER COLUMN clv_happy_threshold DROP NOT NULL;
COMMENT ON TABLE customers.tenant_metrics_config IS 'How a tenant values customers. A row for a currency wins over the row for all (*), value by value. Where neither gives an amount, US dollars have 5 and 500; other currencies have no acquisition cost and no threshold.';
COMMENT ON COLUMN customers.tenant_metrics_config.currency IS 'ISO 4217 code, or * for every currency. Amounts in the row * hold in units of each currency: give them only where the tenant has one currency, or several of about the same worth.';
COMMENT ON COLUMN customers.tenant_metrics_config.expected_lifetime_years IS 'How long a customer is expected to buy, in years.';
COMMENT ON COLUMN customers.tenant_metrics_config.cac IS 'Cost of acquiring one customer, in units of currency; NULL where this row does not say.';
COMMENT ON COLUMN customers.tenant_metrics_config.clv_happy_threshold IS 'clv_est from which a customer can be happy, in units of currency; NULL where this row does not say. Without any, nobody is happy or first_time.';

-- Migrations run as the owner, who is bound by the policies too while they are forced.
ALTER TABLE customers.tenant_metrics_config NO FORCE ROW LEVEL SECURITY;
ALTER TABLE customers.metrics_refresh NO FORCE ROW LEVEL SECURITY;
-- In rows for all currencies these amounts came from the columns' defaults, which were US dollars.
UPDATE customers.tenant_metrics_config
SET cac = nullif(cac, 5), clv_happy_threshold = nullif(clv_happy_threshold, 500)
WHERE currency = '*';
-- The next refresh of every tenant computes all customers.
DELETE FROM customers.metrics_refresh;
ALTER TABLE customers.tenant_metrics_config FORCE ROW LEVEL SECURITY;
ALTER TABLE customers.metrics_refresh FORCE ROW LEVEL SECURITY;

-- A fraction as a decimal with two places, half away from zero. Exact: `round(n / d, 2)` rounds twice, since the quotient
-- is rounded too.
CREATE FUNCTION customers.round_fraction(numerator numeric, denominator numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sign(numerator) * div(200 * abs(numerator) + denominator, 2 * denominator) * 0.01;
COMMENT ON FUNCTION customers.round_fraction IS 'numerator / denominator (positive) rounded once to two decimal places, half away from zero.';
REVOKE EXECUTE ON FUNCTION customers.round_fraction FROM PUBLIC;
GRANT EXECUTE ON FUNCTION customers.round_fraction TO cdp_platform;

-- The figures of a tenant's customers as of a moment: of these, or of all (NULL). One row per open profile and currency
-- that it bought in. Grain of a purchase: the order, not its lines; see the view customers.orders.
--
--   spend        = sum of the orders' amounts, all time, refunds included
--   aov          = max(spend, 0) / purchases with an amount above zero
--   freq_90d     = purchases in the last 90 days
--   monetary_90d = sum of the orders' amounts of the last 90 days; below zero where more was refunded than bought
--   clv_est      = aov * freq_90d * 365 / 90 * expected_lifetime_years - cac, rounded once, half away from zero
--   experience   = recency (none -60, <= 30 days +40, <= 90 days +10, older -10)
--                + monetary_90d / max(aov, 1) clamped to -30..30 + min(30, 2 * freq_90d), rounded as clv_est
--   segment      = happy when clv_est >= threshold and experience >= 30; prospective without any purchase;
--                  inactive without one in 90 days; first_time when 100 <= clv_est <= threshold - 1; else target
--
-- Amounts that the tenant did not configure: in US dollars a cac of 5 and a threshold of 500. In other currencies, and for
-- amounts without one, no cac and no threshold, hence neither happy nor first_time. The 100 and the 1 are US dollars too;
-- in other currencies they are the same share of the threshold. A customer without any order has the cac of US dollars.
--
-- Plain SQL, so that it becomes a part of the query that calls it, with NULL as a constant.
CREATE OR REPLACE FUNCTION customers.customer_figures(for_tenant text, as_of timestamptz, profile_ids text[])
RETURNS TABLE (
    profile_id text, currency text, last_purchase timestamptz, freq_90d int, avg_order_value numeric,
    monetary_90d numeric, clv_est numeric, experience_score numeric(6, 2), segment text
)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH purchases AS (
        SELECT p.profile_id,
               coalesce(o.currency, 'XXX') AS currency,
               count(o.profile_id) AS orders,
               max(o.ordered_at) FILTER (WHERE o.is_purchase) AS last_purchase,
               count(*) FILTER (WHERE o.is_purchase AND o.ordered_at >= as_of - interval '90 days') AS freq_90d,
               count(*) FILTER (WHERE o.is_purchase AND o.amount > 0) AS paid,
               greatest(sum(o.amount), 0) AS spend,
               coalesce(sum(o.amount) FILTER (WHERE o.ordered_at >= as_of - interval '90 days'), 0) AS monetary_90d
        FROM customers.cdp_profiles AS p
        LEFT JOIN customers.orders AS o
            ON o.tenant_id = p.tenant_id AND o.profile_id = p.profile_id
            AND o.tenant_id = for_tenant AND (profile_ids IS NULL OR o.profile_id = ANY (profile_ids))
            -- A purchase in the future is an error of a clock, and no purchase yet.
            AND (o.ordered_at <= as_of OR o.ordered_at IS NULL)
        WHERE p.tenant_id = for_tenant AND p.closed_at IS NULL
          AND (profile_ids IS NULL OR p.profile_id = ANY (profile_ids))
        GROUP BY p.profile_id, coalesce(o.currency, 'XXX')
    ),
    configured AS (
        SELECT q.*,
               coalesce(own.expected_lifetime_years, everywhere.expected_lifetime_years, 3.0) AS years,
               coalesce(own.cac, everywhere.cac, CASE WHEN q.currency = 'USD' OR q.orders = 0 THEN 5 ELSE 0 END) AS cac,
               coalesce(own.clv_happy_threshold, everywhere.clv_happy_threshold,
                        CASE WHEN q.currency = 'USD' THEN 500 END) AS threshold,
               CASE WHEN q.last_purchase IS NULL THEN -60
                    WHEN q.last_purchase >= as_of - interval '30 days' THEN 40
                    WHEN q.last_purchase >= as_of - interval '90 days' THEN 10
                    ELSE -10 END
               + least(30, 2 * q.freq_90d) AS points,
               greatest(q.paid, 1) AS divisor,
               -- max(aov, 1), times the divisor.
               greatest(q.spend, q.paid, 1) AS floored
        FROM purchases AS q
        LEFT JOIN customers.tenant_metrics_config AS own
            ON own.tenant_id = for_tenant AND own.currency = q.currency
        LEFT JOIN customers.tenant_metrics_config AS everywhere
            ON everywhere.tenant_id = for_tenant AND everywhere.currency = '*'
    ),
    -- Fractions, so that each figure is divided and rounded once.
    fractions AS MATERIALIZED (
        SELECT c.*,
               CASE WHEN c.paid = 0 THEN 0 ELSE c.spend / c.paid END AS aov,
               c.spend * c.freq_90d * 365 * c.years - c.cac * 90 * c.divisor AS value_numerator,
               c.points * c.floored
               + greatest(-30 * c.floored, least(30 * c.floored, c.monetary_90d * c.divisor)) AS points_numerator,
               CASE WHEN c.currency = 'USD' THEN 1 ELSE c.threshold / 500 END AS dollar
        FROM configured AS c
    ),
    valued AS (
        SELECT f.*,
               customers.round_fraction(f.value_numerator, 90 * f.divisor) AS clv,
               customers.round_fraction(f.points_numerator, f.floored) AS experience
        FROM fractions AS f
    )
    SELECT v.profile_id, v.currency, v.last_purchase, v.freq_90d::int, v.aov, v.monetary_90d, v.clv,
           v.experience::numeric(6, 2),
           CASE WHEN v.clv >= v.threshold AND v.points_numerator >= 30 * v.floored THEN 'happy'
                WHEN v.last_purchase IS NULL AND v.freq_90d = 0 THEN 'prospective'
                WHEN v.freq_90d = 0 THEN 'inactive'
                WHEN v.clv >= 100 * v.dollar AND v.clv <= v.threshold - v.dollar THEN 'first_time'
                ELSE 'target' END
    FROM valued AS v;
END;
COMMENT ON COLUMN customers.cdp_profiles.total_clv IS 'As LEO CDP computed it, in a currency that it does not name: not to be added or compared. See customers.customer_value.';
COMMENT ON COLUMN customers.cdp_profiles.total_cac IS 'As LEO CDP computed it, in a currency that it does not name: not to be added or compared.';
COMMENT ON COLUMN customers.cdp_profiles.total_transaction_value IS 'As LEO CDP computed it, in a currency that it does not name: not to be added or compared. See customers.customer_value.';
COMMENT ON COLUMN customers.customer_metrics.last_purchase IS 'Time of the latest purchase; NULL without one.';
COMMENT ON COLUMN customers.customer_metrics.freq_90d IS 'Purchases in the last 90 days.';
COMMENT ON COLUMN customers.customer_metrics.avg_order_value IS 'Spend of all time net of refunds, per purchase with an amount above zero, in units of currency.';
COMMENT ON COLUMN customers.customer_metrics.monetary_90d IS 'Spend of the last 90 days net of refunds, in units of currency; below zero where more was refunded than bought.';
COMMENT ON COLUMN customers.customer_metrics.clv_est IS 'avg_order_value * freq_90d * 365 / 90 * expected_lifetime_years - cac, in units of currency, rounded once and half away from zero. It assumes that the last 90 days go on for years: it is minus the cost for everybody without a purchase in them, and too high for those who just bought. customer_value has a better estimate. Never compare it across currencies.';
COMMENT ON COLUMN customers.customer_metrics.experience_score IS 'Recency, spend and frequency in points, from -100 to 100.';

CREATE TABLE customers.customer_value (
    tenant_id text NOT NULL,
    profile_id text NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    as_of date NOT NULL,
    orders bigint NOT NULL,
    spend numeric,
    first_purchase timestamptz,
    last_purchase timestamptz,
    recency_score smallint CHECK (recency_score BETWEEN 1 AND 5),
    frequency_score smallint CHECK (frequency_score BETWEEN 1 AND 5),
    monetary_score smallint CHECK (monetary_score BETWEEN 1 AND 5),
    expected_orders_365d double precision,
    expected_spend_365d numeric,
    probability_alive double precision CHECK (probability_alive BETWEEN 0 AND 1),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, profile_id, currency)
);
COMMENT ON TABLE customers.customer_value IS 'One row per open profile and currency that it has an order in. What it bought, how it ranks among the customers of that currency, and what it is expected to buy. Compare rows of one currency only.';
COMMENT ON COLUMN customers.customer_value.profile_id IS 'The customer''s profile.';
COMMENT ON COLUMN customers.customer_value.first_purchase IS 'Moment of the first purchase.';
COMMENT ON COLUMN customers.customer_value.last_purchase IS 'Moment of the last purchase.';
COMMENT ON COLUMN customers.customer_value.currency IS 'ISO 4217; XXX for orders without a currency. Those have no spend and no expectation, for nobody knows what their amounts are in.';
COMMENT ON COLUMN customers.customer_value.as_of IS 'The tenant''s day that the figures are computed for; see customers.value_model.';
COMMENT ON COLUMN customers.customer_value.orders IS 'Purchases; see customers.orders.is_purchase.';
COMMENT ON COLUMN customers.customer_value.spend IS 'Sum of all orders net of refunds, in units of currency. NULL for XXX.';
COMMENT ON COLUMN customers.customer_value.recency_score IS 'Quintile by the time of the last purchase, 5 for the latest: 1 + five times the share of customers below. Equal customers have equal scores.';
COMMENT ON COLUMN customers.customer_value.frequency_score IS 'Quintile by orders, 5 for the most; as recency_score.';
COMMENT ON COLUMN customers.customer_value.monetary_score IS 'Quintile by spend, 5 for the most; as recency_score.';
COMMENT ON COLUMN customers.customer_value.expected_orders_365d IS 'Days with a purchase that the model expects in the 365 days after as_of. NULL where no model was fitted; value_model.reason says why.';
COMMENT ON COLUMN customers.customer_value.expected_spend_365d IS 'Spend that the model expects in the 365 days after as_of, in units of currency. NULL where no model was fitted; value_model.reason says why.';
COMMENT ON COLUMN customers.customer_value.probability_alive IS 'Probability that the customer will buy again at all. The model takes everybody who bought on one day only as alive.';
COMMENT ON COLUMN customers.customer_value.updated_at IS 'When a figure of this row last changed.';
SELECT ops.isolate_tenants('customers.customer_value');

CREATE TABLE customers.value_model (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    as_of date NOT NULL,
    data_ended boolean NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    customers bigint NOT NULL,
    repeat_customers bigint NOT NULL,
    r double precision,
    alpha double precision,
    a double precision,
    b double precision,
    p double precision,
    q double precision,
    gamma double precision,
    reason text,
    PRIMARY KEY (tenant_id, currency)
);
COMMENT ON TABLE customers.value_model IS 'One row per tenant and currency: the model behind customers.customer_value, or why there is none. BG/NBD for purchases, Gamma-Gamma for their worth.';
COMMENT ON COLUMN customers.value_model.currency IS 'ISO 4217 code of the amounts.';
COMMENT ON COLUMN customers.value_model.as_of IS 'The tenant''s day that the figures are computed for.';
COMMENT ON COLUMN customers.value_model.data_ended IS 'Whether there was no transaction in the 90 days before the run: as_of is then the day of the tenant''s last transaction, not that of the run.';
COMMENT ON COLUMN customers.value_model.computed_at IS 'When the figures were computed last.';
COMMENT ON COLUMN customers.value_model.customers IS 'Customers with a dated purchase in this currency.';
COMMENT ON COLUMN customers.value_model.repeat_customers IS 'Those of them who bought on more than one day.';
COMMENT ON COLUMN customers.value_model.r IS 'BG/NBD: purchases per week are gamma distributed over customers with shape r and rate alpha.';
COMMENT ON COLUMN customers.value_model.alpha IS 'In weeks; see r.';
COMMENT ON COLUMN customers.value_model.a IS 'BG/NBD: the probability of leaving after a purchase is beta distributed over customers with parameters a and b.';
COMMENT ON COLUMN customers.value_model.b IS 'See a.';
COMMENT ON COLUMN customers.value_model.p IS 'Gamma-Gamma: the worth of a purchase is gamma distributed with shape p; the rate is gamma distributed over customers with shape q and rate gamma.';
COMMENT ON COLUMN customers.value_model.q IS 'See p.';
COMMENT ON COLUMN customers.value_model.gamma IS 'In units of currency; see p.';
COMMENT ON COLUMN customers.value_model.reason IS 'Why a model could not be fitted, in words; NULL where both were.';
SELECT ops.isolate_tenants('customers.value_model');
