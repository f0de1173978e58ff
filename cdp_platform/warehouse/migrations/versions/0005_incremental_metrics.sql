-- Metrics of just those customers whose figures can have changed: their purchases or profile did, or time passed a border.

-- Written by triggers, so that no writer can forget it, and in the writer's own transaction: a refresh sees a customer
-- here exactly when it sees the change. No key and no conflict, hence nobody waits for anybody.
CREATE TABLE customers.touched_customer (
    tenant_id text NOT NULL,
    profile_id text NOT NULL
);
COMMENT ON TABLE customers.touched_customer IS 'Customers whose purchases or profile changed since their metrics were computed. May name one several times.';
CREATE INDEX touched_customer_tenant ON customers.touched_customer (tenant_id);
SELECT ops.isolate_tenants('customers.touched_customer');

CREATE TABLE customers.metrics_refresh (
    tenant_id text PRIMARY KEY REFERENCES ops.tenant,
    as_of timestamptz NOT NULL
);
COMMENT ON TABLE customers.metrics_refresh IS 'One row per tenant: the moment as of which its metrics are. Without a row the next refresh is full.';
SELECT ops.isolate_tenants('customers.metrics_refresh');

-- A border of time is crossed by the purchases of a stretch of days.
CREATE INDEX transactions_time ON customers.transactions (tenant_id, occurred_at);

CREATE FUNCTION customers.touch_new_customers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO customers.touched_customer (tenant_id, profile_id) SELECT DISTINCT tenant_id, profile_id FROM new_rows;
    RETURN NULL;
END
$$;

CREATE FUNCTION customers.touch_reopened_customers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Of a profile, only whether it is open matters to the metrics.
    INSERT INTO customers.touched_customer (tenant_id, profile_id)
    SELECT tenant_id, profile_id FROM new_rows JOIN old_rows USING (tenant_id, profile_id)
    WHERE (new_rows.closed_at IS NULL) <> (old_rows.closed_at IS NULL);
    RETURN NULL;
END
$$;

CREATE FUNCTION customers.touch_changed_customers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Merging profiles gives a purchase to another customer: both are touched.
    INSERT INTO customers.touched_customer (tenant_id, profile_id)
    SELECT tenant_id, profile_id FROM new_rows UNION SELECT tenant_id, profile_id FROM old_rows;
    RETURN NULL;
END
$$;

CREATE FUNCTION customers.touch_old_customers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO customers.touched_customer (tenant_id, profile_id) SELECT DISTINCT tenant_id, profile_id FROM old_rows;
    RETURN NULL;
END
$$;

CREATE TRIGGER touch_inserted AFTER INSERT ON customers.cdp_profiles
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION customers.touch_new_customers();
CREATE TRIGGER touch_updated AFTER UPDATE ON customers.cdp_profiles
    REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION customers.touch_reopened_customers();
CREATE TRIGGER touch_deleted AFTER DELETE ON customers.cdp_profiles
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION customers.touch_old_customers();
CREATE TRIGGER touch_inserted AFTER INSERT ON customers.transactions
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION customers.touch_new_customers();
CREATE TRIGGER touch_updated AFTER UPDATE ON customers.transactions
    REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION customers.touch_changed_customers();
CREATE TRIGGER touch_deleted AFTER DELETE ON customers.transactions
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION customers.touch_old_customers();

-- Another way of valuing customers concerns them all.
CREATE FUNCTION customers.ask_for_full_refresh() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM customers.metrics_refresh
    WHERE tenant_id = CASE WHEN TG_OP = 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END;
    RETURN NULL;
END
$$;
CREATE TRIGGER ask_for_full_refresh AFTER INSERT OR UPDATE OR DELETE ON customers.tenant_metrics_config
    FOR EACH ROW EXECUTE FUNCTION customers.ask_for_full_refresh();

-- The figures of a tenant's customers as of a moment: of these, or of all (NULL). One row per open profile and currency
-- that it bought in. Grain of a purchase: the order, not its lines.
--
--   aov          = average of the positive order amounts, all time
--   clv_est      = round(aov * (freq_90d * 365 / 90) * expected_lifetime_years - cac, 2)
--   experience   = recency (none -60, <= 30 days +40, <= 90 days +10, older -10)
--                + monetary_90d / max(aov, 1) clamped to -30..30 + min(30, 2 * freq_90d)
--   segment      = happy when clv_est >= threshold and experience >= 30; prospective without any purchase;
--                  inactive without one in 90 days; first_time when 100 <= clv_est <= threshold - 1; else target
--
-- Plain SQL, so that it becomes a part of the query that calls it, with NULL as a constant.
CREATE FUNCTION customers.customer_figures(for_tenant text, as_of timestamptz, profile_ids text[])
RETURNS TABLE (
    profile_id text, currency text, last_purchase timestamptz, freq_90d int, avg_order_value numeric,
    monetary_90d numeric, clv_est numeric, experience_score numeric(6, 2), segment text
)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH purchases AS (
        SELECT p.profile_id,
               coalesce(o.currency, 'XXX') AS currency,
               max(o.ordered_at) AS last_purchase,
               count(*) FILTER (WHERE o.ordered_at >= as_of - interval '90 days') AS freq_90d,
               coalesce(avg(o.amount) FILTER (WHERE o.amount > 0), 0) AS aov,
               coalesce(sum(o.amount) FILTER (
                   WHERE o.amount > 0 AND o.ordered_at >= as_of - interval '90 days'), 0) AS monetary_90d
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
    valued AS (
        SELECT purchases.*,
               coalesce(own.clv_happy_threshold, everywhere.clv_happy_threshold, 500) AS threshold,
               round(aov * purchases.freq_90d * 365 / 90
                     * coalesce(own.expected_lifetime_years, everywhere.expected_lifetime_years, 3.0)
                     - coalesce(own.cac, everywhere.cac, 5.0), 2) AS clv,
               CASE WHEN purchases.last_purchase IS NULL THEN -60
                    WHEN purchases.last_purchase >= as_of - interval '30 days' THEN 40
                    WHEN purchases.last_purchase >= as_of - interval '90 days' THEN 10
                    ELSE -10 END
               + greatest(-30, least(30, purchases.monetary_90d / greatest(aov, 1)))
               + least(30, 2 * purchases.freq_90d) AS experience
        FROM purchases
        LEFT JOIN customers.tenant_metrics_config AS own
            ON own.tenant_id = for_tenant AND own.currency = purchases.currency
        LEFT JOIN customers.tenant_metrics_config AS everywhere
            ON everywhere.tenant_id = for_tenant AND everywhere.currency = '*'
    )
    SELECT v.profile_id, v.currency, v.last_purchase, v.freq_90d::int, v.aov, v.monetary_90d, v.clv,
           v.experience::numeric(6, 2),
           CASE WHEN v.clv >= v.threshold AND v.experience >= 30 THEN 'happy'
                WHEN v.last_purchase IS NULL AND v.freq_90d = 0 THEN 'prospective'
                WHEN v.freq_90d = 0 THEN 'inactive'
                WHEN v.clv >= 100 AND v.clv <= v.threshold - 1 THEN 'first_time'
                ELSE 'target' END
    FROM valued AS v;
END;
REVOKE EXECUTE ON FUNCTION customers.customer_figures FROM PUBLIC;
GRANT EXECUTE ON FUNCTION customers.customer_figures TO cdp_platform;

-- Bring the metrics of one tenant to a moment, in one statement; returns how many customers were computed.
-- Only rows whose figures changed are written.
--
-- only_touched: leave out the customers whose figures cannot have changed since the last refresh. It computes all the
-- same where there was none, where the moment lies before it, and after the tenant's configuration changed.
DROP FUNCTION customers.refresh_customer_metrics;
CREATE FUNCTION customers.refresh_customer_metrics(
    for_tenant text, as_of timestamptz DEFAULT now(), only_touched boolean DEFAULT false
) RETURNS bigint
LANGUAGE plpgsql
-- Right after a first load there are no statistics yet, every side of a join looks like one row, and a nested loop over
-- what looks like one row is quadratic (7 s instead of 0.1 s for 2,000 customers).
SET enable_nestloop = off
SET work_mem = '64MB'
-- With the customers in the plan: a few by an index, and all of them without one.
SET plan_cache_mode = force_custom_plan
-- Days have 24 hours, whoever asks.
SET timezone = 'UTC'
AS $$
DECLARE
    context text := ops.current_tenant();
    before timestamptz;
    touched text[];
    computed bigint;
BEGIN
    IF context IS DISTINCT FROM for_tenant THEN
        IF context IS NOT NULL THEN
            RAISE EXCEPTION 'this transaction acts for tenant %, not for %', context, for_tenant
                USING HINT = 'One transaction acts for one tenant.';
        END IF;
        PERFORM set_config('app.tenant_id', for_tenant, true);
    END IF;
    -- Two at once would both insert what is new.
    PERFORM pg_advisory_xact_lock(hashtextextended('customers.refresh_customer_metrics ' || for_tenant, 0));
    SELECT m.as_of INTO before FROM customers.metrics_refresh AS m WHERE tenant_id = for_tenant AND m.as_of <= $2;

    -- First of all: whoever is touched after this statement stays touched.
    WITH changed AS (
        DELETE FROM customers.touched_customer WHERE tenant_id = for_tenant RETURNING profile_id
    )
    SELECT array_agg(DISTINCT profile_id) INTO touched FROM changed;
    IF NOT only_touched OR before IS NULL THEN
        touched := NULL;
    ELSE
        -- Time passed a border for those who bought 30 or 90 days before, or in what was the future then.
        SELECT coalesce(array_agg(DISTINCT profile_id), '{}') INTO touched
        FROM (
            SELECT unnest(touched) AS profile_id
            UNION ALL
            SELECT profile_id FROM customers.transactions
            WHERE tenant_id = for_tenant AND closed_at IS NULL
              AND (occurred_at >= before - interval '30 days' AND occurred_at < as_of - interval '30 days'
                   OR occurred_at >= before - interval '90 days' AND occurred_at < as_of - interval '90 days'
                   OR occurred_at > before AND occurred_at <= as_of)
        ) AS either;
    END IF;

    WITH fresh AS MATERIALIZED (
        SELECT * FROM customers.customer_figures(for_tenant, as_of, touched)
    ),
    held AS MATERIALIZED (
        SELECT * FROM customers.customer_metrics
        WHERE tenant_id = for_tenant AND (touched IS NULL OR profile_id = ANY (touched))
    ),
    gone AS (
        DELETE FROM customers.customer_metrics AS m
        WHERE m.tenant_id = for_tenant AND (touched IS NULL OR m.profile_id = ANY (touched))
          AND NOT EXISTS (SELECT FROM fresh AS f WHERE f.profile_id = m.profile_id AND f.currency = m.currency)
    ),
    written AS (
        INSERT INTO customers.customer_metrics (
            tenant_id, profile_id, currency, last_purchase, freq_90d, avg_order_value, monetary_90d, clv_est,
            experience_score, segment, segment_reason)
        SELECT for_tenant, f.profile_id, f.currency, f.last_purchase, f.freq_90d, f.avg_order_value, f.monetary_90d,
               f.clv_est, f.experience_score, f.segment,
               jsonb_build_object('clv_calc', f.clv_est, 'freq_90d', f.freq_90d, 'monetary_90d', f.monetary_90d,
                                  'last_purchase', f.last_purchase)
        FROM fresh AS f LEFT JOIN held AS h ON h.profile_id = f.profile_id AND h.currency = f.currency
        WHERE h.profile_id IS NULL
           OR (h.last_purchase, h.freq_90d, h.avg_order_value, h.monetary_90d, h.clv_est, h.experience_score, h.segment)
              IS DISTINCT FROM (f.last_purchase, f.freq_90d, f.avg_order_value, f.monetary_90d, f.clv_est,
                                f.experience_score, f.segment)
        ON CONFLICT (tenant_id, profile_id, currency) DO UPDATE
        SET last_purchase = excluded.last_purchase, freq_90d = excluded.freq_90d,
            avg_order_value = excluded.avg_order_value, monetary_90d = excluded.monetary_90d,
            clv_est = excluded.clv_est, experience_score = excluded.experience_score, segment = excluded.segment,
            segment_reason = excluded.segment_reason, updated_at = now()
    )
    SELECT count(DISTINCT profile_id) INTO computed FROM fresh;

    INSERT INTO customers.metrics_refresh (tenant_id, as_of) VALUES (for_tenant, $2)
    ON CONFLICT (tenant_id) DO UPDATE SET as_of = excluded.as_of;
    IF context IS NULL THEN
        PERFORM set_config('app.tenant_id', '', true);
    END IF;
    RETURN computed;
END
$$;
REVOKE EXECUTE ON FUNCTION customers.refresh_customer_metrics FROM PUBLIC;
GRANT EXECUTE ON FUNCTION customers.refresh_customer_metrics TO cdp_platform;
