-- What a sync writes beside its rows, by the batch; and counts and look-ups that do not grow with the tenant.

-- Rows of a table that is read from a source --------------------------------------------------------------------------------

ALTER TABLE ops.sync_watermark ADD COLUMN held_rows bigint, ADD COLUMN deleted_rows bigint;
COMMENT ON COLUMN ops.sync_watermark.held_rows IS 'Rows of the tenant in the table that the source is read into, as its triggers count them; NULL until they are counted once.';
COMMENT ON COLUMN ops.sync_watermark.deleted_rows IS 'How many of held_rows are closed as deleted.';
ALTER TABLE ops.reconciliation ADD COLUMN miscounted bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN ops.reconciliation.miscounted IS 'By how much held_rows and deleted_rows of ops.sync_watermark were wrong; they are right since.';

-- Trigger of such a table. Argument: the source. Writers of a tenant's table take turns (the lock of its sync, or an erasure that
-- has the tenant alone) but for the two processes of a full read. These do not wait here for each other in a first load, since
-- nothing is counted before its end.
CREATE FUNCTION customers.count_held() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE ops.sync_watermark AS w
        SET held_rows = w.held_rows + n.held, deleted_rows = w.deleted_rows + n.deleted
        FROM (
            SELECT tenant_id, count(*) AS held, count(*) FILTER (WHERE closed_reason = 'deleted') AS deleted
            FROM new_rows GROUP BY tenant_id
        ) AS n
        WHERE w.tenant_id = n.tenant_id AND w.source = TG_ARGV[0] AND w.held_rows IS NOT NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE ops.sync_watermark AS w
        SET deleted_rows = w.deleted_rows + n.deleted
        FROM (
            SELECT tenant_id, count(*) FILTER (WHERE is_new) - count(*) FILTER (WHERE NOT is_new) AS deleted
            FROM (
                SELECT tenant_id, true AS is_new FROM new_rows WHERE closed_reason = 'deleted'
                UNION ALL
                SELECT tenant_id, false FROM old_rows WHERE closed_reason = 'deleted'
            ) AS both_sides
            GROUP BY tenant_id
        ) AS n
        WHERE w.tenant_id = n.tenant_id AND w.source = TG_ARGV[0] AND w.held_rows IS NOT NULL AND n.deleted <> 0;
    ELSE
        UPDATE ops.sync_watermark AS w
        SET held_rows = w.held_rows - o.held, deleted_rows = w.deleted_rows - o.deleted
        FROM (
            SELECT tenant_id, count(*) AS held, count(*) FILTER (WHERE closed_reason = 'deleted') AS deleted
            FROM old_rows GROUP BY tenant_id
        ) AS o
        WHERE w.tenant_id = o.tenant_id AND w.source = TG_ARGV[0] AND w.held_rows IS NOT NULL;
    END IF;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    each record;
BEGIN
    FOR each IN VALUES
        ('cdp_profiles', 'cdp_profile'), ('transactions', 'cdp_profile2conversion'), ('cdp_segments', 'cdp_segment')
    LOOP
        EXECUTE format(
            'CREATE TRIGGER count_inserted AFTER INSERT ON customers.%1$I REFERENCING NEW TABLE AS new_rows'
            ' FOR EACH STATEMENT EXECUTE FUNCTION customers.count_held(%2$L);'
            'CREATE TRIGGER count_updated AFTER UPDATE ON customers.%1$I REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows'
            ' FOR EACH STATEMENT EXECUTE FUNCTION customers.count_held(%2$L);'
            'CREATE TRIGGER count_deleted AFTER DELETE ON customers.%1$I REFERENCING OLD TABLE AS old_rows'
            ' FOR EACH STATEMENT EXECUTE FUNCTION customers.count_held(%2$L)', each.column1, each.column2);
    END LOOP;
END
$$;

-- Customers whose metrics are to be computed ----------------------------------------------------------------------------------

ALTER TABLE customers.touched_customer ALTER COLUMN profile_id DROP NOT NULL, ADD COLUMN profile_ids text[] NOT NULL DEFAULT '{}';
COMMENT ON TABLE customers.touched_customer IS 'One row per statement: the customers whose purchases or profile it changed, until their metrics are computed. Several rows may name one.';
COMMENT ON COLUMN customers.touched_customer.profile_id IS 'Always NULL; older versions noted one customer per row.';
COMMENT ON COLUMN customers.touched_customer.profile_ids IS 'The customers'' profiles.';
ALTER TABLE customers.touched_customer NO FORCE ROW LEVEL SECURITY;
WITH older AS (
    DELETE FROM customers.touched_customer RETURNING tenant_id, profile_id
)
INSERT INTO customers.touched_customer (tenant_id, profile_ids)
SELECT tenant_id, array_agg(DISTINCT profile_id) FROM older GROUP BY tenant_id;
ALTER TABLE customers.touched_customer FORCE ROW LEVEL SECURITY;

CREATE OR REPLACE FUNCTION customers.touch_new_customers() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    INSERT INTO customers.touched_customer (tenant_id, profile_ids)
    SELECT tenant_id, array_agg(DISTINCT profile_id) FROM new_rows GROUP BY tenant_id;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION customers.touch_reopened_customers() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    -- Of a profile, only whether it is open matters to the metrics.
    INSERT INTO customers.touched_customer (tenant_id, profile_ids)
    SELECT tenant_id, array_agg(profile_id) FROM new_rows JOIN old_rows USING (tenant_id, profile_id)
    WHERE (new_rows.closed_at IS NULL) <> (old_rows.closed_at IS NULL)
    GROUP BY tenant_id;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION customers.touch_changed_customers() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    -- Merging profiles gives a purchase to another customer: both are touched.
    INSERT INTO customers.touched_customer (tenant_id, profile_ids)
    SELECT tenant_id, array_agg(profile_id)
    FROM (SELECT tenant_id, profile_id FROM new_rows UNION SELECT tenant_id, profile_id FROM old_rows) AS either
    GROUP BY tenant_id;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION customers.touch_old_customers() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    INSERT INTO customers.touched_customer (tenant_id, profile_ids)
    SELECT tenant_id, array_agg(DISTINCT profile_id) FROM old_rows GROUP BY tenant_id;
    RETURN NULL;
END
$$;

-- Take these profiles out of what was touched; returns how many rows named any of them.
CREATE FUNCTION customers.untouch(for_tenant text, gone text[]) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    WITH emptied AS (
        DELETE FROM customers.touched_customer WHERE tenant_id = for_tenant AND profile_ids <@ gone RETURNING 1
    ), shortened AS (
        UPDATE customers.touched_customer SET profile_ids = ARRAY(SELECT unnest(profile_ids) EXCEPT SELECT unnest(gone))
        WHERE tenant_id = for_tenant AND profile_ids && gone AND NOT profile_ids <@ gone RETURNING 1
    )
    SELECT (SELECT count(*) FROM emptied) + (SELECT count(*) FROM shortened);
END;

CREATE FUNCTION customers.erase_touched(for_tenant text, person ops.person) RETURNS bigint
LANGUAGE sql
RETURN customers.untouch(for_tenant, person.profile_ids);

CREATE FUNCTION customers.keep_erased_out_of_touched() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM ops.share_erasure_locks(ARRAY(SELECT DISTINCT tenant_id FROM new_rows));
    IF EXISTS (SELECT FROM ops.erased_document) THEN
        PERFORM customers.untouch(e.tenant_id, array_agg(e.document_key))
        FROM (SELECT DISTINCT tenant_id, unnest(profile_ids) AS profile_id FROM new_rows) AS n
        JOIN ops.erased_document AS e
            ON e.tenant_id = n.tenant_id AND e.source = 'cdp_profile' AND e.document_key = n.profile_id
        GROUP BY e.tenant_id;
    END IF;
    RETURN NULL;
END
$$;

DELETE FROM ops.person_store WHERE store = 'customers.touched_customer';
DROP TRIGGER hold_off_erasures ON customers.touched_customer;
SELECT ops.keep_erased_out(
    'customers.touched_customer', erase => 'customers.erase_touched', guard => 'customers.keep_erased_out_of_touched');

-- As before, but for batches of touched customers.
CREATE OR REPLACE FUNCTION customers.refresh_customer_metrics(
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
        DELETE FROM customers.touched_customer WHERE tenant_id = for_tenant RETURNING profile_ids
    )
    SELECT array_agg(DISTINCT profile_id) INTO touched FROM changed, unnest(profile_ids) AS profile_id;
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

-- Rows of the metrics by segment ----------------------------------------------------------------------------------------------

CREATE TABLE customers.metrics_segment (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    segment text NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (tenant_id, segment)
);
COMMENT ON TABLE customers.metrics_segment IS 'One row per segment of customers.customer_metrics, as its triggers count its rows.';
COMMENT ON COLUMN customers.metrics_segment.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN customers.metrics_segment.segment IS 'happy, prospective, inactive, first_time or target.';
COMMENT ON COLUMN customers.metrics_segment.number IS 'Rows of customer_metrics that are in the segment.';
SELECT ops.isolate_tenants('customers.metrics_segment');

ALTER TABLE customers.customer_metrics NO FORCE ROW LEVEL SECURITY;
ALTER TABLE customers.metrics_segment NO FORCE ROW LEVEL SECURITY;
INSERT INTO customers.metrics_segment (tenant_id, segment, number)
SELECT tenant_id, segment, count(*) FROM customers.customer_metrics GROUP BY tenant_id, segment;
ALTER TABLE customers.customer_metrics FORCE ROW LEVEL SECURITY;
ALTER TABLE customers.metrics_segment FORCE ROW LEVEL SECURITY;

-- Refreshes of a tenant take turns, and an erasure has the tenant alone: none waits here for another.
CREATE FUNCTION customers.count_metrics() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO customers.metrics_segment AS s (tenant_id, segment, number)
        SELECT tenant_id, segment, count(*) FROM new_rows GROUP BY tenant_id, segment
        ON CONFLICT (tenant_id, segment) DO UPDATE SET number = s.number + excluded.number;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE customers.metrics_segment AS s SET number = s.number - o.number
        FROM (SELECT tenant_id, segment, count(*) AS number FROM old_rows GROUP BY tenant_id, segment) AS o
        WHERE s.tenant_id = o.tenant_id AND s.segment = o.segment;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_inserted AFTER INSERT ON customers.customer_metrics REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION customers.count_metrics();
CREATE TRIGGER count_updated AFTER UPDATE ON customers.customer_metrics REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION customers.count_metrics();
CREATE TRIGGER count_deleted AFTER DELETE ON customers.customer_metrics REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION customers.count_metrics();

-- Members of segments ---------------------------------------------------------------------------------------------------------

-- Row-level security keeps operators that are not leakproof, as those of jsonb and arrays are, from an index. So these were
-- maintained and never used; equality of texts is leakproof.
DROP INDEX customers.cdp_profiles_segments;
DROP INDEX customers.cdp_profiles_identities;
DROP INDEX customers.cdp_profiles_secondary_emails;
DROP INDEX enrichment.contact_other_emails;
-- Few have further addresses: these are read, and their lists looked at.
CREATE INDEX cdp_profiles_secondary_emails ON customers.cdp_profiles (tenant_id, profile_id) WHERE secondary_emails <> '[]';
CREATE INDEX contact_other_emails ON enrichment.contact (tenant_id, contact_id) WHERE other_emails <> '{}';

CREATE TABLE customers.segment_member (
    -- Of a profile's tenant, so not checked once more for each row.
    tenant_id text NOT NULL,
    segment_id text NOT NULL,
    profile_id text NOT NULL,
    PRIMARY KEY (tenant_id, segment_id, profile_id)
);
COMMENT ON TABLE customers.segment_member IS 'One row per profile and segment that its document names, closed profiles too; triggers of customers.cdp_profiles keep it.';
COMMENT ON COLUMN customers.segment_member.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN customers.segment_member.segment_id IS 'The segment''s key in the CDP.';
COMMENT ON COLUMN customers.segment_member.profile_id IS 'The customer''s profile.';
SELECT ops.isolate_tenants('customers.segment_member');

-- The keys of the segments that a profile names in its column ``segments``.
CREATE FUNCTION customers.segment_ids(segments jsonb) RETURNS SETOF text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT s.segment ->> 'id' FROM jsonb_array_elements(segments) AS s (segment)
    WHERE jsonb_typeof(s.segment -> 'id') = 'string';
END;

ALTER TABLE customers.cdp_profiles NO FORCE ROW LEVEL SECURITY;
ALTER TABLE customers.segment_member NO FORCE ROW LEVEL SECURITY;
INSERT INTO customers.segment_member (tenant_id, segment_id, profile_id)
SELECT DISTINCT p.tenant_id, s.segment_id, p.profile_id
FROM customers.cdp_profiles AS p, customers.segment_ids(p.segments) AS s (segment_id);
ALTER TABLE customers.cdp_profiles FORCE ROW LEVEL SECURITY;
ALTER TABLE customers.segment_member FORCE ROW LEVEL SECURITY;

CREATE FUNCTION customers.follow_segments() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- Not by segment_ids: a lateral join takes longer, and each profile of a first load comes by here.
        INSERT INTO customers.segment_member (tenant_id, segment_id, profile_id)
        SELECT tenant_id, segment ->> 'id', profile_id
        FROM (SELECT tenant_id, profile_id, jsonb_array_elements(segments) AS segment FROM new_rows) AS named
        WHERE jsonb_typeof(segment -> 'id') = 'string'
        ORDER BY 1, 2, 3
        -- A document may name a segment twice, and a restore may have brought members without their profiles.
        ON CONFLICT DO NOTHING;
    ELSIF TG_OP = 'UPDATE' THEN
        WITH changed AS MATERIALIZED (
            SELECT tenant_id, profile_id, o.segments AS before, n.segments AS after
            FROM new_rows AS n JOIN old_rows AS o USING (tenant_id, profile_id)
            WHERE n.segments <> o.segments
        ), gone AS (
            DELETE FROM customers.segment_member AS m
            USING changed AS c, customers.segment_ids(c.before) AS s (segment_id)
            WHERE m.tenant_id = c.tenant_id AND m.segment_id = s.segment_id AND m.profile_id = c.profile_id
              AND s.segment_id NOT IN (SELECT customers.segment_ids(c.after))
        )
        INSERT INTO customers.segment_member (tenant_id, segment_id, profile_id)
        SELECT c.tenant_id, s.segment_id, c.profile_id
        FROM changed AS c, customers.segment_ids(c.after) AS s (segment_id)
        ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM customers.segment_member AS m
        USING old_rows AS o, customers.segment_ids(o.segments) AS s (segment_id)
        WHERE m.tenant_id = o.tenant_id AND m.segment_id = s.segment_id AND m.profile_id = o.profile_id;
    END IF;
    RETURN NULL;
END
$$;
-- Triggers of one table run in the order of their names: these before keep_erased_out, which may delete the rows again.
CREATE TRIGGER follow_inserted AFTER INSERT ON customers.cdp_profiles REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION customers.follow_segments();
CREATE TRIGGER follow_updated AFTER UPDATE ON customers.cdp_profiles REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION customers.follow_segments();
CREATE TRIGGER follow_deleted AFTER DELETE ON customers.cdp_profiles REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION customers.follow_segments();

CREATE FUNCTION customers.erase_members(for_tenant text, person ops.person) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    WITH gone AS (
        DELETE FROM customers.segment_member AS m
        USING customers.cdp_profiles AS p, customers.segment_ids(p.segments) AS s (segment_id)
        WHERE p.tenant_id = for_tenant AND p.profile_id = ANY (person.profile_ids)
          AND m.tenant_id = for_tenant AND m.segment_id = s.segment_id AND m.profile_id = p.profile_id
        RETURNING 1
    )
    SELECT count(*) FROM gone;
END;

CREATE FUNCTION customers.keep_erased_out_of_segments() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM ops.share_erasure_locks(ARRAY(SELECT DISTINCT tenant_id FROM new_rows));
    IF EXISTS (SELECT FROM ops.erased_document) THEN
        DELETE FROM customers.segment_member AS m
        USING new_rows AS n JOIN ops.erased_document AS e
            ON e.tenant_id = n.tenant_id AND e.source = 'cdp_profile' AND e.document_key = n.profile_id
        WHERE m.tenant_id = n.tenant_id AND m.segment_id = n.segment_id AND m.profile_id = n.profile_id;
    END IF;
    RETURN NULL;
END
$$;
SELECT ops.keep_erased_out(
    'customers.segment_member', erase => 'customers.erase_members', guard => 'customers.keep_erased_out_of_segments');
