-- A function that acts with its owner's rights (SECURITY DEFINER) must mean the same whatever its caller's search path is,
-- and whatever others have put into `public` or into their temporary schema. So in each of them every function, relation and
-- type has its schema in front, and its own search path is empty: operators are then those of pg_catalog. The same holds for
-- what they call, and for trigger functions, which run as whoever writes.

-- Bodies that are parsed as they are stored (BEGIN ATOMIC, RETURN) keep what this path finds.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION ops.current_tenant() RETURNS pg_catalog.text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(pg_catalog.current_setting('app.tenant_id', true), '');

CREATE OR REPLACE FUNCTION ops.registered_tenants() RETURNS SETOF ops.tenant
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
    SELECT * FROM ops.tenant;
END;

CREATE OR REPLACE FUNCTION ops.take_turn(turn_name pg_catalog.text, per_minute int) RETURNS interval
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    before ops.turn;
    moment pg_catalog.timestamptz;
    mine pg_catalog.timestamptz;
BEGIN
    INSERT INTO ops.turn (name) VALUES (turn_name) ON CONFLICT DO NOTHING;
    SELECT * INTO before FROM ops.turn WHERE name = turn_name FOR UPDATE;
    moment := pg_catalog.clock_timestamp();
    mine := greatest(moment, before.rests_until, before.granted[pg_catalog.cardinality(before.granted)]);
    IF pg_catalog.cardinality(before.granted) >= per_minute THEN
        mine := greatest(
            mine, before.granted[pg_catalog.cardinality(before.granted) - per_minute + 1] + interval '61 seconds');
    END IF;
    UPDATE ops.turn SET granted = (granted || mine)[greatest(1, pg_catalog.cardinality(granted) + 2 - per_minute) :]
    WHERE name = turn_name;
    RETURN mine - moment;
END
$$;

CREATE OR REPLACE FUNCTION ops.rest(turn_name pg_catalog.text, seconds double precision) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
    INSERT INTO ops.turn (name, rests_until)
    VALUES (turn_name, pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => seconds))
    ON CONFLICT (name) DO UPDATE SET rests_until = greatest(turn.rests_until, excluded.rests_until);
END;

CREATE OR REPLACE FUNCTION embeddings.waiting() RETURNS TABLE (tenant_id pg_catalog.text, kind pg_catalog.text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
    SELECT t.tenant_id, k.kind
    FROM ops.tenant AS t CROSS JOIN (VALUES ('profile'), ('transaction'), ('event'), ('product')) AS k (kind)
    WHERE t.status = 'active' AND (
        EXISTS (
            SELECT FROM embeddings.embedding_job AS j
            WHERE j.tenant_id = t.tenant_id AND j.kind = k.kind AND j.status IN ('pending', 'failed')
              AND j.not_before <= pg_catalog.now()
        ) OR EXISTS (
            SELECT FROM embeddings.embedding_job AS j
            WHERE j.tenant_id = t.tenant_id AND j.kind = k.kind AND j.status = 'processing'
              AND j.lease_until < pg_catalog.now()
        )
    );
END;

CREATE OR REPLACE FUNCTION embeddings.matches(of_kind pg_catalog.text, query pg_catalog.tsquery, at_most int)
RETURNS TABLE (entity_id pg_catalog.text, rank real)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
    -- ts_rank: another of the words counts for more than the same word again.
    SELECT p.entity_id, pg_catalog.ts_rank(p.words, query) AS rank
    FROM embeddings.passage AS p
    WHERE p.tenant_id = ops.current_tenant() AND p.kind = of_kind AND p.words @@ query
    ORDER BY rank DESC, pg_catalog.length(p.words), p.entity_id
    LIMIT at_most;
END;

CREATE OR REPLACE FUNCTION embeddings.delete_vectors(of_model int) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
    WITH gone AS (
        DELETE FROM embeddings.embedding AS e USING embeddings.embedding_model AS m
        WHERE e.model_id = of_model AND m.model_id = of_model AND m.state = 'retired' RETURNING 1
    )
    SELECT pg_catalog.count(*) FROM gone;
END;

CREATE OR REPLACE FUNCTION referrals.waiting()
RETURNS TABLE (tenant_id pg_catalog.text, touched pg_catalog.timestamptz[], new_events boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
    SELECT t.tenant_id,
           ARRAY(SELECT DISTINCT q.starts_at FROM referrals.touched_quarter AS q WHERE q.tenant_id = t.tenant_id),
           EXISTS (SELECT FROM referrals.click_event AS c WHERE c.tenant_id = t.tenant_id AND c.ingested_at > last.seen)
           OR EXISTS (SELECT FROM referrals.signup_event AS s WHERE s.tenant_id = t.tenant_id AND s.ingested_at > last.seen)
           OR EXISTS (SELECT FROM referrals.exported_event AS x WHERE x.tenant_id = t.tenant_id AND x.stale)
    FROM ops.tenant AS t
    CROSS JOIN LATERAL (
        -- Five minutes less: an event may be committed later than it was written.
        SELECT coalesce(pg_catalog.max(e.snapshot_at) - interval '5 minutes', '-infinity') AS seen
        FROM referrals.sheet_export AS e
        WHERE e.tenant_id = t.tenant_id AND e.outcome IN ('confirmed', 'unchanged')
          AND pg_catalog.jsonb_exists(e.worksheets, 'Tracker_Raw_Data')
    ) AS last
    WHERE t.status = 'active';
END;

-- What is not parsed before it runs.
DO $$
DECLARE
    each pg_catalog.regprocedure;
BEGIN
    FOR each IN
        SELECT p.oid FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname IN ('ops', 'customers', 'embeddings', 'catalog', 'referrals') AND p.prorettype = 'trigger'::regtype
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = ''''', each);
    END LOOP;
END
$$;

RESET search_path;
