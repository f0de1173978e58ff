-- Referrals: what the tracker application writes, the figures of each link and day, and what was exported of it.

CREATE SCHEMA referrals;
GRANT USAGE ON SCHEMA referrals TO cdp_platform;

-- What the tracker writes ----------------------------------------------------------------------------------------------
-- Nothing here cascades: an officer who leaves takes no history along.

CREATE TABLE referrals.officer (
    tenant_id text NOT NULL,
    officer_id text NOT NULL,
    full_name text NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, officer_id)
);
COMMENT ON TABLE referrals.officer IS 'One row per officer: who hands out referral links.';
SELECT ops.isolate_tenants('referrals.officer');

CREATE TABLE referrals.campaign (
    tenant_id text NOT NULL,
    campaign_id text NOT NULL,
    name text NOT NULL,
    description text,
    starts_at timestamptz NOT NULL CHECK (isfinite(starts_at)),
    ends_at timestamptz CHECK (ends_at >= starts_at AND isfinite(ends_at)),
    is_active boolean NOT NULL DEFAULT true,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, campaign_id)
);
COMMENT ON TABLE referrals.campaign IS 'One row per campaign that links are made for.';
COMMENT ON COLUMN referrals.campaign.ends_at IS 'NULL while it runs without an end.';
SELECT ops.isolate_tenants('referrals.campaign');

CREATE TABLE referrals.referral_link (
    tenant_id text NOT NULL,
    referral_link_id text NOT NULL,
    officer_id text NOT NULL,
    campaign_id text NOT NULL,
    full_link text NOT NULL,
    ref_code text NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    revoke_at timestamptz,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, referral_link_id),
    UNIQUE (tenant_id, ref_code),
    FOREIGN KEY (tenant_id, officer_id) REFERENCES referrals.officer,
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES referrals.campaign
);
COMMENT ON TABLE referrals.referral_link IS 'One row per link of an officer for a campaign.';
CREATE INDEX referral_link_officer ON referrals.referral_link (tenant_id, officer_id);
CREATE INDEX referral_link_campaign ON referrals.referral_link (tenant_id, campaign_id);
SELECT ops.isolate_tenants('referrals.referral_link');

CREATE TABLE referrals.click_event (
    tenant_id text NOT NULL,
    click_event_id text NOT NULL,
    referral_link_id text NOT NULL,
    occurred_at timestamptz NOT NULL CHECK (isfinite(occurred_at)),
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ip text,
    user_agent text,
    geo_country text,
    geo_city text,
    geo_region text,
    fraud_score double precision,
    erased_at timestamptz CHECK (erased_at IS NULL OR (ip IS NULL AND user_agent IS NULL)),
    PRIMARY KEY (tenant_id, click_event_id),
    FOREIGN KEY (tenant_id, referral_link_id) REFERENCES referrals.referral_link
);
COMMENT ON TABLE referrals.click_event IS 'One row per click on a link.';
COMMENT ON COLUMN referrals.click_event.occurred_at IS 'When it happened: the day that it counts for. ingested_at is when this table learned of it.';
COMMENT ON COLUMN referrals.click_event.erased_at IS 'Since when it says nothing of its person; a tombstone that no later writing takes back.';
CREATE INDEX click_event_time ON referrals.click_event (tenant_id, occurred_at);
CREATE INDEX click_event_ingested ON referrals.click_event (tenant_id, ingested_at);
SELECT ops.isolate_tenants('referrals.click_event');

CREATE TABLE referrals.signup_event (
    tenant_id text NOT NULL,
    signup_event_id text NOT NULL,
    click_event_id text,
    referral_link_id text NOT NULL,
    occurred_at timestamptz NOT NULL CHECK (isfinite(occurred_at)),
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    conversion_minutes int CHECK (conversion_minutes >= 0),
    email text,
    fraud_score double precision,
    erased_at timestamptz CHECK (erased_at IS NULL OR email IS NULL),
    PRIMARY KEY (tenant_id, signup_event_id),
    FOREIGN KEY (tenant_id, referral_link_id) REFERENCES referrals.referral_link
);
COMMENT ON TABLE referrals.signup_event IS 'One row per signup that came through a link, on the day of the signup, whenever its click was.';
COMMENT ON COLUMN referrals.signup_event.click_event_id IS 'Without a foreign key: a click may come later than its signup, or never.';
CREATE INDEX signup_event_time ON referrals.signup_event (tenant_id, occurred_at);
CREATE INDEX signup_event_ingested ON referrals.signup_event (tenant_id, ingested_at);
CREATE INDEX signup_event_of_erased ON referrals.signup_event (tenant_id, click_event_id) WHERE erased_at IS NOT NULL;
CREATE INDEX signup_event_email ON referrals.signup_event (tenant_id, lower(trim(email))) WHERE email IS NOT NULL;
SELECT ops.isolate_tenants('referrals.signup_event');

-- Who was erased stays so: in events that come later or again, as from a backup. Addresses are known by their hash alone,
-- under a secret of the tenant that also masks those in worksheets.
CREATE TABLE referrals.address_salt (
    tenant_id text PRIMARY KEY REFERENCES ops.tenant,
    salt bytea NOT NULL CHECK (length(salt) = 32)
);
COMMENT ON TABLE referrals.address_salt IS 'One row per tenant: the secret that e-mail addresses are hashed with. Never changes.';
SELECT ops.isolate_tenants('referrals.address_salt');

CREATE TABLE referrals.erased_address (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    address_hash bytea NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, address_hash)
);
COMMENT ON TABLE referrals.erased_address IS 'Tombstones: one row per e-mail address of an erased person, as a hash.';
SELECT ops.isolate_tenants('referrals.erased_address');
REVOKE DELETE ON referrals.erased_address FROM cdp_platform;

CREATE FUNCTION referrals.address_hash(salt bytea, address text) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sha256(salt || convert_to(lower(trim(address)), 'UTF8'));

-- Once per statement: where nobody was erased, that is one look-up. A statement without rows calls it too, its own as well.
CREATE FUNCTION referrals.keep_erased_signups_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM referrals.erased_address) AND EXISTS (SELECT FROM new_rows WHERE email IS NOT NULL) THEN
        WITH erased AS (
            UPDATE referrals.signup_event AS s SET email = NULL, erased_at = now()
            FROM new_rows AS n JOIN referrals.address_salt AS a ON a.tenant_id = n.tenant_id
                JOIN referrals.erased_address AS e
                    ON e.tenant_id = n.tenant_id AND e.address_hash = referrals.address_hash(a.salt, n.email)
            WHERE s.tenant_id = n.tenant_id AND s.signup_event_id = n.signup_event_id AND s.email IS NOT NULL
            RETURNING s.tenant_id, s.signup_event_id
        )
        UPDATE referrals.exported_event AS x SET stale = true FROM erased AS e
        WHERE x.tenant_id = e.tenant_id AND x.event_type = 'signup' AND x.event_id = e.signup_event_id;
        WITH erased AS (
            UPDATE referrals.click_event AS c
            SET ip = NULL, user_agent = NULL, geo_country = NULL, geo_city = NULL, geo_region = NULL, erased_at = now()
            FROM new_rows AS n JOIN referrals.signup_event AS s USING (tenant_id, signup_event_id)
            WHERE c.tenant_id = n.tenant_id AND c.click_event_id = s.click_event_id
              AND s.erased_at IS NOT NULL AND c.erased_at IS NULL
            RETURNING c.tenant_id, c.click_event_id
        )
        UPDATE referrals.exported_event AS x SET stale = true FROM erased AS e
        WHERE x.tenant_id = e.tenant_id AND x.event_type = 'click' AND x.event_id = e.click_event_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION referrals.keep_erased_clicks_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM referrals.erased_address) THEN
        UPDATE referrals.click_event AS c
        SET ip = NULL, user_agent = NULL, geo_country = NULL, geo_city = NULL, geo_region = NULL, erased_at = now()
        FROM new_rows AS n JOIN referrals.signup_event AS s
            ON s.tenant_id = n.tenant_id AND s.click_event_id = n.click_event_id AND s.erased_at IS NOT NULL
        WHERE c.tenant_id = n.tenant_id AND c.click_event_id = n.click_event_id AND c.erased_at IS NULL;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_erased_out AFTER INSERT ON referrals.signup_event
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION referrals.keep_erased_signups_out();
CREATE TRIGGER keep_erased_out_again AFTER UPDATE ON referrals.signup_event
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION referrals.keep_erased_signups_out();
CREATE TRIGGER keep_erased_out AFTER INSERT ON referrals.click_event
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION referrals.keep_erased_clicks_out();

-- Daily metrics --------------------------------------------------------------------------------------------------------

-- The one definition of the rate, in per cent: weighted, so days and links count by their clicks. 0 without clicks.
CREATE FUNCTION referrals.click_to_signup_rate(signups bigint, clicks bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN clicks > 0 THEN round(100.0 * signups / clicks, 2) ELSE 0 END;

-- The tracker's own rule: a score above 7 is a finding.
CREATE FUNCTION referrals.is_flagged(fraud_score double precision) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(fraud_score > 7, false);

CREATE TABLE referrals.daily_metrics (
    tenant_id text NOT NULL,
    referral_link_id text NOT NULL,
    metric_date date NOT NULL,
    total_clicks bigint NOT NULL,
    total_signups bigint NOT NULL,
    flagged_clicks bigint NOT NULL,
    flagged_signups bigint NOT NULL,
    click_to_signup_rate numeric NOT NULL
        GENERATED ALWAYS AS (referrals.click_to_signup_rate(total_signups, total_clicks)) STORED,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, referral_link_id, metric_date),
    FOREIGN KEY (tenant_id, referral_link_id) REFERENCES referrals.referral_link
);
COMMENT ON TABLE referrals.daily_metrics IS 'One row per link and day with an event, by the tenant''s time zone. Officer and campaign are those that the link has now.';
COMMENT ON COLUMN referrals.daily_metrics.total_clicks IS 'Without flagged ones, as total_signups.';
COMMENT ON COLUMN referrals.daily_metrics.flagged_clicks IS 'Clicks with a fraud score that makes them a finding: in no other figure.';
CREATE INDEX daily_metrics_date ON referrals.daily_metrics (tenant_id, metric_date);
SELECT ops.isolate_tenants('referrals.daily_metrics');

-- Written by triggers in the writer's own transaction, so that no event is too late for its day. A quarter of an hour and
-- not a day: days begin at a quarter in every time zone, and only the tenant knows which is its.
CREATE TABLE referrals.touched_quarter (
    tenant_id text NOT NULL,
    starts_at timestamptz NOT NULL
);
COMMENT ON TABLE referrals.touched_quarter IS 'Quarters of an hour whose events changed since their day was counted. May name one several times.';
CREATE INDEX touched_quarter_tenant ON referrals.touched_quarter (tenant_id);
SELECT ops.isolate_tenants('referrals.touched_quarter');

-- For rows that come and for rows that go: each trigger names its own.
CREATE FUNCTION referrals.touch_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO referrals.touched_quarter (tenant_id, starts_at)
    SELECT DISTINCT tenant_id, date_bin('15 minutes', occurred_at, 'epoch') FROM events;
    RETURN NULL;
END
$$;
CREATE FUNCTION referrals.touch_changed_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Only what is counted matters: when, for which link, and whether flagged.
    INSERT INTO referrals.touched_quarter (tenant_id, starts_at)
    SELECT tenant_id, date_bin('15 minutes', occurred_at, 'epoch') FROM (
        (SELECT tenant_id, occurred_at, referral_link_id, referrals.is_flagged(fraud_score) FROM new_rows
         EXCEPT ALL
         SELECT tenant_id, occurred_at, referral_link_id, referrals.is_flagged(fraud_score) FROM old_rows)
        UNION
        (SELECT tenant_id, occurred_at, referral_link_id, referrals.is_flagged(fraud_score) FROM old_rows
         EXCEPT ALL
         SELECT tenant_id, occurred_at, referral_link_id, referrals.is_flagged(fraud_score) FROM new_rows)
    ) AS differ
    GROUP BY 1, 2;
    RETURN NULL;
END
$$;
CREATE TRIGGER touch_inserted AFTER INSERT ON referrals.click_event
    REFERENCING NEW TABLE AS events FOR EACH STATEMENT EXECUTE FUNCTION referrals.touch_events();
CREATE TRIGGER touch_updated AFTER UPDATE ON referrals.click_event
    REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION referrals.touch_changed_events();
CREATE TRIGGER touch_deleted AFTER DELETE ON referrals.click_event
    REFERENCING OLD TABLE AS events FOR EACH STATEMENT EXECUTE FUNCTION referrals.touch_events();
CREATE TRIGGER touch_inserted AFTER INSERT ON referrals.signup_event
    REFERENCING NEW TABLE AS events FOR EACH STATEMENT EXECUTE FUNCTION referrals.touch_events();
CREATE TRIGGER touch_updated AFTER UPDATE ON referrals.signup_event
    REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION referrals.touch_changed_events();
CREATE TRIGGER touch_deleted AFTER DELETE ON referrals.signup_event
    REFERENCING OLD TABLE AS events FOR EACH STATEMENT EXECUTE FUNCTION referrals.touch_events();

CREATE TABLE referrals.metrics_zone (
    tenant_id text PRIMARY KEY REFERENCES ops.tenant,
    time_zone text NOT NULL
);
COMMENT ON TABLE referrals.metrics_zone IS 'One row per tenant: the time zone that its days were counted in. In another, all are counted again.';
SELECT ops.isolate_tenants('referrals.metrics_zone');

-- Count the events of these days again, from the first to the one before the last, in one statement; returns the days whose
-- figures changed. Days are those of the time zone. Inside a transaction of the tenant.
CREATE FUNCTION referrals.count_days(for_tenant text, zone text, first_day date, end_day date) RETURNS SETOF date
LANGUAGE sql
SET plan_cache_mode = force_custom_plan
SET work_mem = '64MB'
BEGIN ATOMIC
    WITH event AS (
        SELECT referral_link_id, occurred_at, true AS is_click, referrals.is_flagged(fraud_score) AS flagged
        FROM referrals.click_event
        -- A day more on both sides: an offset from UTC is less than that, and the day itself is asked for below.
        WHERE tenant_id = for_tenant AND occurred_at >= first_day - interval '1 day' AND occurred_at < end_day + interval '1 day'
        UNION ALL
        SELECT referral_link_id, occurred_at, false, referrals.is_flagged(fraud_score)
        FROM referrals.signup_event
        WHERE tenant_id = for_tenant AND occurred_at >= first_day - interval '1 day' AND occurred_at < end_day + interval '1 day'
    ),
    fresh AS MATERIALIZED (
        SELECT referral_link_id, (occurred_at AT TIME ZONE zone)::date AS metric_date,
               count(*) FILTER (WHERE is_click AND NOT flagged) AS total_clicks,
               count(*) FILTER (WHERE NOT is_click AND NOT flagged) AS total_signups,
               count(*) FILTER (WHERE is_click AND flagged) AS flagged_clicks,
               count(*) FILTER (WHERE NOT is_click AND flagged) AS flagged_signups
        FROM event
        WHERE (occurred_at AT TIME ZONE zone)::date >= first_day AND (occurred_at AT TIME ZONE zone)::date < end_day
        GROUP BY 1, 2
    ),
    held AS MATERIALIZED (
        SELECT * FROM referrals.daily_metrics
        WHERE tenant_id = for_tenant AND metric_date >= first_day AND metric_date < end_day
    ),
    gone AS (
        DELETE FROM referrals.daily_metrics AS m
        USING (SELECT referral_link_id, metric_date FROM held EXCEPT SELECT referral_link_id, metric_date FROM fresh) AS g
        WHERE m.tenant_id = for_tenant AND m.referral_link_id = g.referral_link_id AND m.metric_date = g.metric_date
        RETURNING m.metric_date
    ),
    written AS (
        INSERT INTO referrals.daily_metrics (
            tenant_id, referral_link_id, metric_date, total_clicks, total_signups, flagged_clicks, flagged_signups)
        SELECT for_tenant, f.* FROM fresh AS f LEFT JOIN held AS h USING (referral_link_id, metric_date)
        WHERE (h.total_clicks, h.total_signups, h.flagged_clicks, h.flagged_signups)
              IS DISTINCT FROM (f.total_clicks, f.total_signups, f.flagged_clicks, f.flagged_signups)
        ON CONFLICT (tenant_id, referral_link_id, metric_date) DO UPDATE
        SET total_clicks = excluded.total_clicks, total_signups = excluded.total_signups,
            flagged_clicks = excluded.flagged_clicks, flagged_signups = excluded.flagged_signups, updated_at = now()
        RETURNING metric_date
    )
    SELECT metric_date FROM gone UNION SELECT metric_date FROM written;
END;
REVOKE EXECUTE ON FUNCTION referrals.count_days FROM PUBLIC;
GRANT EXECUTE ON FUNCTION referrals.count_days TO cdp_platform;

-- Worksheets -----------------------------------------------------------------------------------------------------------

CREATE TABLE referrals.sheet_export (
    tenant_id text NOT NULL,
    export_id uuid NOT NULL,
    spreadsheet_id text NOT NULL,
    link text NOT NULL,
    snapshot_at timestamptz NOT NULL,
    worksheets jsonb NOT NULL,
    rows bigint NOT NULL,
    checksum text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('reserved', 'handed_over', 'confirmed', 'unchanged', 'failed', 'unknown')),
    reason text,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    PRIMARY KEY (tenant_id, export_id)
);
COMMENT ON TABLE referrals.sheet_export IS 'One row per export of worksheets: written before the spreadsheet is changed, so that none is forgotten.';
COMMENT ON COLUMN referrals.sheet_export.snapshot_at IS 'The moment of the database that all its worksheets show.';
COMMENT ON COLUMN referrals.sheet_export.worksheets IS 'By name of the worksheet: rows without the header, checksum, and for raw data how many were appended.';
COMMENT ON COLUMN referrals.sheet_export.checksum IS 'Of all that the export shows; the spreadsheet holds the same.';
CREATE INDEX sheet_export_recent ON referrals.sheet_export (tenant_id, spreadsheet_id, started_at DESC);
SELECT ops.isolate_tenants('referrals.sheet_export');

CREATE TABLE referrals.exported_event (
    tenant_id text NOT NULL,
    spreadsheet_id text NOT NULL,
    event_type text NOT NULL CHECK (event_type IN ('click', 'signup')),
    event_id text NOT NULL,
    position bigint NOT NULL CHECK (position > 0),
    export_id uuid NOT NULL,
    stale boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, spreadsheet_id, event_type, event_id),
    UNIQUE (tenant_id, spreadsheet_id, position),
    FOREIGN KEY (tenant_id, export_id) REFERENCES referrals.sheet_export
);
COMMENT ON TABLE referrals.exported_event IS 'One row per event and spreadsheet: the place of its row among the raw data, 1 for the first.';
COMMENT ON COLUMN referrals.exported_event.stale IS 'What the spreadsheet shows of it has to be written again: its person was erased.';
CREATE INDEX exported_event_export ON referrals.exported_event (tenant_id, export_id);
CREATE INDEX exported_event_stale ON referrals.exported_event (tenant_id) WHERE stale;
SELECT ops.isolate_tenants('referrals.exported_event');

-- What a sensor has to know before it acts for a tenant: quarters that were touched, and whether events came since the last
-- export of raw data. Times, no content.
CREATE POLICY waiting ON referrals.touched_quarter FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY waiting ON referrals.click_event FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY waiting ON referrals.signup_event FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY waiting ON referrals.exported_event FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY waiting ON referrals.sheet_export FOR SELECT TO CURRENT_USER USING (true);
CREATE FUNCTION referrals.waiting() RETURNS TABLE (tenant_id text, touched timestamptz[], new_events boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.tenant_id,
           ARRAY(SELECT DISTINCT q.starts_at FROM referrals.touched_quarter AS q WHERE q.tenant_id = t.tenant_id),
           EXISTS (SELECT FROM referrals.click_event AS c WHERE c.tenant_id = t.tenant_id AND c.ingested_at > last.seen)
           OR EXISTS (SELECT FROM referrals.signup_event AS s WHERE s.tenant_id = t.tenant_id AND s.ingested_at > last.seen)
           OR EXISTS (SELECT FROM referrals.exported_event AS x WHERE x.tenant_id = t.tenant_id AND x.stale)
    FROM ops.tenant AS t
    CROSS JOIN LATERAL (
        -- Five minutes less: an event may be committed later than it was written.
        SELECT coalesce(max(e.snapshot_at) - interval '5 minutes', '-infinity') AS seen
        FROM referrals.sheet_export AS e
        WHERE e.tenant_id = t.tenant_id AND e.outcome IN ('confirmed', 'unchanged')
          AND jsonb_exists(e.worksheets, 'Tracker_Raw_Data')
    ) AS last
    WHERE t.status = 'active';
END;
REVOKE EXECUTE ON FUNCTION referrals.waiting FROM PUBLIC;
GRANT EXECUTE ON FUNCTION referrals.waiting TO cdp_platform;

-- Turns: so many calls of an outside system a minute, however many processes make them ----------------------------------

CREATE TABLE ops.turn (
    name text PRIMARY KEY,
    granted timestamptz[] NOT NULL DEFAULT '{}',
    rests_until timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE ops.turn IS 'One row per account and kind of call: when its last turns are. Belongs to the platform and says nothing of any tenant.';

-- Reserve the next turn, at most so many in any 61 seconds, and return how long it is until then. A second more than a
-- minute: calls take unequally long to arrive.
CREATE FUNCTION ops.take_turn(turn_name text, per_minute int) RETURNS interval
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before ops.turn;
    moment timestamptz;
    mine timestamptz;
BEGIN
    INSERT INTO ops.turn (name) VALUES (turn_name) ON CONFLICT DO NOTHING;
    SELECT * INTO before FROM ops.turn WHERE name = turn_name FOR UPDATE;
    moment := clock_timestamp();
    mine := greatest(moment, before.rests_until, before.granted[cardinality(before.granted)]);
    IF cardinality(before.granted) >= per_minute THEN
        mine := greatest(mine, before.granted[cardinality(before.granted) - per_minute + 1] + interval '61 seconds');
    END IF;
    UPDATE ops.turn SET granted = (granted || mine)[greatest(1, cardinality(granted) + 2 - per_minute) :]
    WHERE name = turn_name;
    RETURN mine - moment;
END
$$;

-- Nobody's next turn is sooner than this: the outside system asked for a pause.
CREATE FUNCTION ops.rest(turn_name text, seconds double precision) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO ops.turn (name, rests_until) VALUES (turn_name, clock_timestamp() + make_interval(secs => seconds))
    ON CONFLICT (name) DO UPDATE SET rests_until = greatest(turn.rests_until, excluded.rests_until);
END;
REVOKE EXECUTE ON FUNCTION ops.take_turn, ops.rest FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.take_turn, ops.rest TO cdp_platform;
