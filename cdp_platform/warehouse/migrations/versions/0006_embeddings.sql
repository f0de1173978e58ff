-- Embeddings: which texts there are, a queue that keeps their vectors in step, the models, and what is found with them.

-- An administrator makes it where the owner may not: it is not marked as trusted everywhere.
CREATE EXTENSION IF NOT EXISTS vector;

CREATE SCHEMA embeddings;
GRANT USAGE ON SCHEMA embeddings TO cdp_platform;

-- Models ------------------------------------------------------------------------------------------------------------

CREATE TABLE embeddings.embedding_model (
    model_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL,
    name text NOT NULL,
    dimensions int NOT NULL CHECK (dimensions BETWEEN 1 AND 4000),
    max_characters int NOT NULL CHECK (max_characters > 0),
    price_per_million_tokens numeric NOT NULL DEFAULT 0 CHECK (price_per_million_tokens >= 0),
    state text NOT NULL CHECK (state IN ('building', 'active', 'retired')),
    added_at timestamptz NOT NULL DEFAULT now(),
    activated_at timestamptz,
    retired_at timestamptz,
    paused_until timestamptz,
    pauses int NOT NULL DEFAULT 0,
    pause_reason text,
    UNIQUE (provider, name, dimensions)
);
COMMENT ON TABLE embeddings.embedding_model IS 'One row per model, for all tenants. The active one serves searches; one more may be building to take its place.';
COMMENT ON COLUMN embeddings.embedding_model.max_characters IS 'A longer text is cut here before it is hashed and sent.';
COMMENT ON COLUMN embeddings.embedding_model.price_per_million_tokens IS 'In US dollars.';
COMMENT ON COLUMN embeddings.embedding_model.paused_until IS 'Its provider asked for patience, or is away; nothing is sent before.';
COMMENT ON COLUMN embeddings.embedding_model.pauses IS 'How often in a row it was away, which makes each pause longer; 0 after an answer.';
CREATE UNIQUE INDEX embedding_model_one_per_state ON embeddings.embedding_model (state) WHERE state <> 'retired';
GRANT SELECT, INSERT, UPDATE ON embeddings.embedding_model TO cdp_platform;

-- Texts -------------------------------------------------------------------------------------------------------------

-- The elements of a list with a comma between; NULL when there are none, so that no "[]" gets into a text.
CREATE FUNCTION embeddings.listed(list jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT string_agg(coalesce(nullif(e ->> 'name', ''), e ->> 'id', e #>> '{}'), ', ')
    -- Whatever is no list becomes one of one element.
    FROM jsonb_array_elements('[]' || list) AS e
    WHERE e <> ALL ('{"\"\"", "[]", "{}", "\"[]\""}'::jsonb[])
);

CREATE FUNCTION embeddings.without_emails(content text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN content ~ '[@＠]' THEN regexp_replace(
    content, '[^\s@,;]+[@＠][^\s@,;]+|[^\s@,;]+\s?[@＠]\s?[^\s@,;]+\.[^\s@,;]+', '', 'g') ELSE content END;

-- Every run of digits, and of what people write between them, that may be a phone number is one: eight digits or more, or
-- seven after a plus or as 555-1234. Not: years, dates, an amount with thousands or cents, or of whole thousands.
CREATE FUNCTION embeddings.without_phones(content text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT string_agg(CASE
        WHEN run[1] ~ '\d(\D*\d){7}|\+\D*\d(\D*\d){6}|^\W*\d{3}-\d{4}\W*$' AND run[1] !~ (
            '^[^\d+]*('
            '(19|20)\d\d(\D{1,3}(19|20)\d\d)+'
            '|(19|20)\d\d[-./]?[01]\d[-./]?[0-3]\d|[0-3]?\d[-./][01]?\d[-./](19|20)\d\d'
            '|[1-9]\d{0,2}(\.\d{3}){2}|[1-9](\.\d{3}){3}|[1-9]\d*\.\d\d|[1-9]\d{4,5}000'
            ')\D*$') THEN ' ' ELSE run[1] END, '' ORDER BY place)
    FROM regexp_matches(content, '[\d\s()./·‐-―+-]+|[^\d\s()./·‐-―+-]+', 'g') WITH ORDINALITY AS runs (run, place)
);

-- Text without e-mail addresses and phone numbers, wherever somebody wrote one. The look ahead keeps it fast for the many
-- that have neither.
CREATE FUNCTION embeddings.without_contacts(content text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN nullif(btrim(CASE
    WHEN content ~ '[@＠]|\d[\d\s()./·‐-―+-]{5,}\d'
    THEN embeddings.without_phones(embeddings.without_emails(content)) ELSE content END, ' ,;'), '');

-- Where somebody lives: city, province or state, and country. The whole location may be an address with a house number, so
-- it is taken only where none of the others is known.
CREATE FUNCTION embeddings.place(city text, province text, state text, country text, location text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(concat_ws(', ', nullif(city, ''), nullif(coalesce(province, state), ''), nullif(country, '')), ''),
                nullif(location, ''));

-- What a profile is about: where the person lives, works and is interested in. Nobody's name, address or number. Models
-- read less than 40,000 characters, so the work that a longer text makes stays bounded.
CREATE FUNCTION embeddings.profile_text(
    place text, job_titles jsonb, data_labels jsonb, segments jsonb, content_keywords jsonb,
    product_keywords jsonb, closed_at timestamptz
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN closed_at IS NULL THEN embeddings.without_contacts(left(concat_ws(
    '; ', place,
    embeddings.listed(job_titles || data_labels || segments || content_keywords || product_keywords)
), 40000)) END;

-- What was done, of what worth, and in which groups and segments.
CREATE FUNCTION embeddings.transaction_text(
    event_name text, line_id text, order_id text, amount numeric, currency text, product_id text, asset_group_ids jsonb,
    segment_ids jsonb, total_event bigint, closed_at timestamptz
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN closed_at IS NULL THEN embeddings.without_emails(left(concat_ws(
    '; ', coalesce(event_name, 'transaction') || ' ' || coalesce(order_id, line_id),
    'product ' || nullif(product_id, ''), 'amount ' || concat_ws(' ', trim_scale(amount), currency),
    'asset groups ' || embeddings.listed(asset_group_ids), 'segments ' || embeddings.listed(segment_ids),
    'total events ' || total_event
), 40000)) END;

CREATE FUNCTION embeddings.text_hash(content text, max_characters int) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sha256(convert_to(left(content, max_characters), 'UTF8'));

-- Lower case without accents, for words that people type without them.
CREATE FUNCTION embeddings.folded(content text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN octet_length(content) = length(content) THEN lower(content COLLATE pg_c_utf8) ELSE translate(
    regexp_replace(normalize(lower(content COLLATE pg_c_utf8), NFD), '[\u0300-\u036f]', '', 'g'), 'đ', 'd') END;

-- The queue ---------------------------------------------------------------------------------------------------------

CREATE SEQUENCE embeddings.arrival;
GRANT USAGE ON SEQUENCE embeddings.arrival TO cdp_platform;

CREATE TABLE embeddings.embedding_job (
    tenant_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('profile', 'transaction', 'event', 'product')),
    entity_id text NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'dead')),
    attempts int NOT NULL DEFAULT 0,
    arrival bigint NOT NULL DEFAULT nextval('embeddings.arrival'),
    not_before timestamptz NOT NULL DEFAULT now(),
    claim uuid,
    lease_until timestamptz,
    changed_meanwhile boolean NOT NULL DEFAULT false,
    content_hash bytea,
    last_error text,
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (tenant_id, kind, entity_id),
    CHECK ((status = 'processing') = (claim IS NOT NULL AND lease_until IS NOT NULL))
) WITH (fillfactor = 70);
COMMENT ON TABLE embeddings.embedding_job IS 'One row per entity whose text was ever to be embedded: its last job, so that none is open twice.';
COMMENT ON COLUMN embeddings.embedding_job.arrival IS 'Place in the queue.';
COMMENT ON COLUMN embeddings.embedding_job.claim IS 'Whose it is while it is processing. A worker that lost it writes nothing.';
COMMENT ON COLUMN embeddings.embedding_job.changed_meanwhile IS 'The text changed while it was processing: it is to be done again.';
COMMENT ON COLUMN embeddings.embedding_job.content_hash IS 'Of the text that was last refused, as its model gets it.';
COMMENT ON COLUMN embeddings.embedding_job.attempts IS 'Failures of this text; being paced and an absent provider are none.';
CREATE INDEX embedding_job_waiting ON embeddings.embedding_job (tenant_id, kind, arrival)
    WHERE status IN ('pending', 'failed');
CREATE INDEX embedding_job_leased ON embeddings.embedding_job (tenant_id, kind, lease_until)
    WHERE status = 'processing';
SELECT ops.isolate_tenants('embeddings.embedding_job');

-- One job for each of these, no id twice, unless one waits already. Sorted, so that two who enqueue the same never wait
-- for each other in turn.
CREATE FUNCTION embeddings.enqueue(for_tenant text, of_kind text, entity_ids text[]) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    WITH done AS (
        INSERT INTO embeddings.embedding_job AS j (tenant_id, kind, entity_id)
        SELECT for_tenant, of_kind, id FROM unnest(entity_ids) AS id ORDER BY id COLLATE "C"
        ON CONFLICT (tenant_id, kind, entity_id) DO UPDATE SET
            changed_meanwhile = j.status = 'processing',
            status = CASE j.status WHEN 'processing' THEN 'processing' ELSE 'pending' END,
            attempts = CASE j.status WHEN 'processing' THEN j.attempts ELSE 0 END,
            not_before = excluded.not_before,
            arrival = CASE j.status WHEN 'processing' THEN j.arrival ELSE excluded.arrival END,
            enqueued_at = excluded.enqueued_at,
            finished_at = NULL
        WHERE j.status <> 'pending' AND NOT j.changed_meanwhile
        RETURNING 1
    )
    SELECT count(*) FROM done;
END;

-- Forget these entities: vectors, jobs and whatever was made of them.
CREATE FUNCTION embeddings.forget(for_tenant text, of_kind text, entity_ids text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM embeddings.embedding_job
    WHERE tenant_id = for_tenant AND kind = of_kind AND entity_id = ANY (entity_ids);
    DELETE FROM embeddings.embedding
    WHERE tenant_id = for_tenant AND kind = of_kind AND entity_id = ANY (entity_ids);
    DELETE FROM embeddings.passage
    WHERE tenant_id = for_tenant AND kind = of_kind AND entity_id = ANY (entity_ids);
    IF of_kind = 'profile' THEN
        DELETE FROM embeddings.lookalike_audience WHERE tenant_id = for_tenant AND profile_id = ANY (entity_ids);
        DELETE FROM embeddings.profile_cluster WHERE tenant_id = for_tenant AND profile_id = ANY (entity_ids);
    END IF;
END
$$;

-- Triggers of a table that texts come from. Arguments: kind, the column that identifies the entity, and for updates
-- how the text is made of a row {r}. Once per statement, in the writer's own transaction: nobody can forget it, and a
-- text is in the queue exactly when it is in the table.
CREATE FUNCTION embeddings.enqueue_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    -- The text is left to whoever takes the job: most of what a first load brings has one.
    FOR found IN EXECUTE format(
        'SELECT tenant_id, array_agg(%I) AS ids FROM new_rows GROUP BY tenant_id', TG_ARGV[1])
    LOOP
        PERFORM embeddings.enqueue(found.tenant_id, TG_ARGV[0], found.ids);
        PERFORM pg_notify('embedding_job', TG_ARGV[0]);
    END LOOP;
    RETURN NULL;
END
$$;

CREATE FUNCTION embeddings.enqueue_updated() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    FOR found IN EXECUTE format(
        'SELECT tenant_id, array_agg(id) FILTER (WHERE new_text IS NOT NULL) AS ids,'
        ' array_agg(id) FILTER (WHERE new_text IS NULL) AS gone FROM ('
        ' SELECT n.tenant_id, n.%1$I AS id, %2$s AS new_text, %3$s AS old_text'
        ' FROM new_rows AS n JOIN old_rows AS o ON o.tenant_id = n.tenant_id AND o.%1$I = n.%1$I OFFSET 0) AS texts'
        ' WHERE new_text IS DISTINCT FROM old_text GROUP BY tenant_id',
        TG_ARGV[1], replace(TG_ARGV[2], '{r}', 'n'), replace(TG_ARGV[2], '{r}', 'o'))
    LOOP
        IF found.gone IS NOT NULL THEN
            PERFORM embeddings.forget(found.tenant_id, TG_ARGV[0], found.gone);
        END IF;
        IF found.ids IS NOT NULL THEN
            PERFORM embeddings.enqueue(found.tenant_id, TG_ARGV[0], found.ids);
            PERFORM pg_notify('embedding_job', TG_ARGV[0]);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE FUNCTION embeddings.forget_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    FOR found IN EXECUTE format(
        'SELECT tenant_id, array_agg(%I) AS ids FROM old_rows GROUP BY tenant_id', TG_ARGV[1])
    LOOP
        PERFORM embeddings.forget(found.tenant_id, TG_ARGV[0], found.ids);
    END LOOP;
    RETURN NULL;
END
$$;

-- Let the queue follow a table: the view of its texts, embeddings.<kind>_texts, and the three triggers. A room that brings a
-- kind of its own calls this, and adds its view to entity_text. The text is said once, of a row {r}.
CREATE FUNCTION embeddings.follow(source regclass, of_kind text, id_column text, text_of_row text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE VIEW embeddings.%I WITH (security_invoker = true) AS'
        ' SELECT r.tenant_id, %L::text AS kind, r.%I AS entity_id, %s AS content FROM %s AS r',
        of_kind || '_texts', of_kind, id_column, replace(text_of_row, '{r}', 'r'), source);
    EXECUTE format('GRANT SELECT ON embeddings.%I TO cdp_platform', of_kind || '_texts');
    EXECUTE format(
        'CREATE TRIGGER embed_inserted AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows'
        ' FOR EACH STATEMENT EXECUTE FUNCTION embeddings.enqueue_inserted(%L, %L)', source, of_kind, id_column);
    EXECUTE format(
        'CREATE TRIGGER embed_updated AFTER UPDATE ON %s REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows'
        ' FOR EACH STATEMENT EXECUTE FUNCTION embeddings.enqueue_updated(%L, %L, %L)',
        source, of_kind, id_column, text_of_row);
    EXECUTE format(
        'CREATE TRIGGER embed_deleted AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows'
        ' FOR EACH STATEMENT EXECUTE FUNCTION embeddings.forget_deleted(%L, %L)', source, of_kind, id_column);
END
$$;
REVOKE EXECUTE ON FUNCTION embeddings.follow FROM PUBLIC;

SELECT embeddings.follow('customers.cdp_profiles', 'profile', 'profile_id',
    'embeddings.profile_text(embeddings.place({r}.living_city, {r}.living_province, {r}.living_state, '
    '{r}.living_country, {r}.living_location), {r}.job_titles, {r}.data_labels, {r}.segments, '
    '{r}.content_keywords, {r}.product_keywords, {r}.closed_at)');
SELECT embeddings.follow('customers.transactions', 'transaction', 'line_id',
    'embeddings.transaction_text({r}.event_name, {r}.line_id, {r}.order_id, {r}.amount, {r}.currency, '
    '{r}.product_id, {r}.asset_group_ids, {r}.segment_ids, {r}.total_event, {r}.closed_at)');

-- Every text that is to have a vector.
CREATE VIEW embeddings.entity_text WITH (security_invoker = true) AS
SELECT * FROM embeddings.profile_texts UNION ALL SELECT * FROM embeddings.transaction_texts;
COMMENT ON VIEW embeddings.entity_text IS 'One row per entity of every kind; content is NULL where there is nothing to embed.';
GRANT SELECT ON embeddings.entity_text TO cdp_platform;

-- Which tenants have work, over all tenants: a sensor has to know before it acts for one. Names and kinds, no content.
CREATE POLICY queue ON embeddings.embedding_job FOR SELECT TO CURRENT_USER USING (true);
CREATE FUNCTION embeddings.waiting() RETURNS TABLE (tenant_id text, kind text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.tenant_id, k.kind
    FROM ops.tenant AS t CROSS JOIN (VALUES ('profile'), ('transaction'), ('event'), ('product')) AS k (kind)
    WHERE t.status = 'active' AND (
        EXISTS (
            SELECT FROM embeddings.embedding_job AS j
            WHERE j.tenant_id = t.tenant_id AND j.kind = k.kind AND j.status IN ('pending', 'failed')
              AND j.not_before <= now()
        ) OR EXISTS (
            SELECT FROM embeddings.embedding_job AS j
            WHERE j.tenant_id = t.tenant_id AND j.kind = k.kind AND j.status = 'processing' AND j.lease_until < now()
        )
    );
END;
REVOKE EXECUTE ON FUNCTION embeddings.waiting FROM PUBLIC;
GRANT EXECUTE ON FUNCTION embeddings.waiting TO cdp_platform;

-- Vectors -----------------------------------------------------------------------------------------------------------

-- Dimensions differ from model to model, so the column has none; each model's indexes have (vector_index).
CREATE TABLE embeddings.embedding (
    tenant_id text NOT NULL,
    kind text NOT NULL,
    entity_id text NOT NULL,
    model_id int NOT NULL,
    vector vector NOT NULL,
    content_hash bytea NOT NULL,
    embedded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind, model_id, entity_id)
);
COMMENT ON TABLE embeddings.embedding IS 'One row per entity and model: the vector (length 1) of the text with this hash.';
SELECT ops.isolate_tenants('embeddings.embedding');

-- What was embedded, for words beside vectors and for saying why something was found.
CREATE TABLE embeddings.passage (
    tenant_id text NOT NULL,
    kind text NOT NULL,
    entity_id text NOT NULL,
    content text NOT NULL,
    words tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('simple', embeddings.folded(content))) STORED,
    PRIMARY KEY (tenant_id, kind, entity_id)
);
COMMENT ON TABLE embeddings.passage IS 'One row per embedded entity: its text, at most 20,000 characters of it, and the words in it.';
CREATE INDEX passage_words ON embeddings.passage USING gin (words);
SELECT ops.isolate_tenants('embeddings.passage');

-- Row-level security keeps @@ away from the index, since the operator is not marked as leakproof. So the one search by
-- words is this function; it asks for the tenant itself.
CREATE POLICY search ON embeddings.passage FOR SELECT TO CURRENT_USER USING (true);
CREATE FUNCTION embeddings.matches(of_kind text, query tsquery, at_most int)
RETURNS TABLE (entity_id text, rank real)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- ts_rank: another of the words counts for more than the same word again.
    SELECT p.entity_id, ts_rank(p.words, query) AS rank
    FROM embeddings.passage AS p
    WHERE p.tenant_id = ops.current_tenant() AND p.kind = of_kind AND p.words @@ query
    ORDER BY rank DESC, length(p.words), p.entity_id
    LIMIT at_most;
END;
REVOKE EXECUTE ON FUNCTION embeddings.matches FROM PUBLIC;
GRANT EXECUTE ON FUNCTION embeddings.matches TO cdp_platform;

-- The approximate index of one kind and model. The platform's role owns no table, so these two functions do what only an
-- owner may. Writers wait while an index is built; readers don't.
CREATE FUNCTION embeddings.vector_index(of_kind text, of_model int) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN format('embedding_%s_%s', of_kind, of_model);

CREATE FUNCTION embeddings.build_vector_index(of_kind text, of_model int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_catalog, pg_temp SET maintenance_work_mem = '1GB' AS $$
DECLARE
    size int := (SELECT dimensions FROM embeddings.embedding_model WHERE model_id = of_model);
    kind_of_vector text := CASE WHEN size <= 2000 THEN 'vector' ELSE 'halfvec' END;
    statement text;
BEGIN
    IF size IS NULL OR of_kind NOT IN ('profile', 'transaction', 'event', 'product') THEN
        RAISE EXCEPTION 'no model % or no kind %', of_model, of_kind;
    END IF;
    -- Two who build it at once would both do the work, and one of them fail at its end.
    PERFORM pg_advisory_xact_lock(hashtextextended('cdp_platform:' || embeddings.vector_index(of_kind, of_model), 0));
    statement := format(
        'CREATE INDEX IF NOT EXISTS %I ON embeddings.embedding USING hnsw ((vector::%s(%s)) %s_cosine_ops)'
        ' WHERE kind = %L AND model_id = %s',
        embeddings.vector_index(of_kind, of_model), kind_of_vector, size, kind_of_vector, of_kind, of_model);
    BEGIN
        EXECUTE statement;
    EXCEPTION WHEN disk_full OR out_of_memory THEN
        -- Containers often have little shared memory, which only workers beside this one need.
        SET LOCAL max_parallel_maintenance_workers = 0;
        EXECUTE statement;
    END;
END
$$;

CREATE FUNCTION embeddings.drop_vector_index(of_kind text, of_model int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('DROP INDEX IF EXISTS embeddings.%I', embeddings.vector_index(of_kind, of_model));
END
$$;
REVOKE EXECUTE ON FUNCTION embeddings.build_vector_index, embeddings.drop_vector_index FROM PUBLIC;
GRANT EXECUTE ON FUNCTION embeddings.build_vector_index, embeddings.drop_vector_index TO cdp_platform;

-- Whether an index is worth having depends on all tenants. Counts no further than asked: a figure, no content.
CREATE POLICY models ON embeddings.embedding TO CURRENT_USER USING (true);
CREATE FUNCTION embeddings.vectors_up_to(of_kind text, of_model int, at_most int) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT count(*) FROM (
        SELECT FROM embeddings.embedding WHERE kind = of_kind AND model_id = of_model LIMIT at_most
    ) AS held;
END;
-- What waits for this model. While another one is building, most texts wait for only one of the two.
CREATE FUNCTION embeddings.waiting_up_to(of_kind text, of_model int, at_most int) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT count(*) FROM (
        SELECT FROM embeddings.embedding_job AS j
        WHERE j.kind = of_kind AND j.status = 'pending' AND (
            (SELECT count(*) FROM embeddings.embedding_model WHERE state <> 'retired') < 2
            OR NOT EXISTS (
                SELECT FROM embeddings.embedding AS e
                WHERE e.tenant_id = j.tenant_id AND e.kind = j.kind AND e.model_id = of_model
                  AND e.entity_id = j.entity_id
            )
        ) LIMIT at_most
    ) AS waiting;
END;
REVOKE EXECUTE ON FUNCTION embeddings.vectors_up_to, embeddings.waiting_up_to FROM PUBLIC;
GRANT EXECUTE ON FUNCTION embeddings.vectors_up_to, embeddings.waiting_up_to TO cdp_platform;

-- The vectors of a retired model, of all tenants; a model in use keeps its own.
CREATE FUNCTION embeddings.delete_vectors(of_model int) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH gone AS (
        DELETE FROM embeddings.embedding AS e USING embeddings.embedding_model AS m
        WHERE e.model_id = of_model AND m.model_id = of_model AND m.state = 'retired' RETURNING 1
    )
    SELECT count(*) FROM gone;
END;
REVOKE EXECUTE ON FUNCTION embeddings.delete_vectors FROM PUBLIC;
GRANT EXECUTE ON FUNCTION embeddings.delete_vectors TO cdp_platform;

-- Keep one tenant's queue and vectors in step with its texts: what is missing or stale is enqueued, what belongs to
-- nothing is deleted. A text that is dead is left until it changes. Returns (enqueued, removed).
CREATE FUNCTION embeddings.reconcile(for_tenant text, of_kind text, OUT enqueued bigint, OUT removed bigint)
LANGUAGE plpgsql SET enable_nestloop = off SET work_mem = '64MB' AS $$
DECLARE
    gone text[];
BEGIN
    SELECT array_agg(k.entity_id) INTO gone
    FROM (
        SELECT entity_id FROM embeddings.embedding_job WHERE tenant_id = for_tenant AND kind = of_kind
        UNION SELECT entity_id FROM embeddings.embedding WHERE tenant_id = for_tenant AND kind = of_kind
        UNION SELECT entity_id FROM embeddings.passage WHERE tenant_id = for_tenant AND kind = of_kind
    ) AS k
    LEFT JOIN embeddings.entity_text AS t
        ON t.tenant_id = for_tenant AND t.kind = of_kind AND t.entity_id = k.entity_id
    WHERE t.content IS NULL;
    removed := coalesce(cardinality(gone), 0);
    IF removed > 0 THEN
        PERFORM embeddings.forget(for_tenant, of_kind, gone);
    END IF;
    SELECT embeddings.enqueue(for_tenant, of_kind, array_agg(DISTINCT t.entity_id)) INTO enqueued
    FROM embeddings.entity_text AS t
    CROSS JOIN embeddings.embedding_model AS m
    LEFT JOIN embeddings.embedding AS e
        ON e.tenant_id = for_tenant AND e.kind = of_kind AND e.entity_id = t.entity_id AND e.model_id = m.model_id
    LEFT JOIN embeddings.passage AS p
        ON p.tenant_id = for_tenant AND p.kind = of_kind AND p.entity_id = t.entity_id
    LEFT JOIN embeddings.embedding_job AS j
        ON j.tenant_id = for_tenant AND j.kind = of_kind AND j.entity_id = t.entity_id
    WHERE t.tenant_id = for_tenant AND t.kind = of_kind AND t.content IS NOT NULL AND m.state <> 'retired'
      AND (e.content_hash IS DISTINCT FROM embeddings.text_hash(t.content, m.max_characters)
           OR p.content IS DISTINCT FROM left(t.content, 20000))
      AND (j.status IS DISTINCT FROM 'dead'
           OR j.content_hash IS DISTINCT FROM embeddings.text_hash(t.content, m.max_characters));
    enqueued := coalesce(enqueued, 0);
END
$$;

-- What it costs --------------------------------------------------------------------------------------------------------

CREATE TABLE embeddings.usage (
    tenant_id text NOT NULL,
    model_id int NOT NULL,
    day date NOT NULL,
    calls bigint NOT NULL DEFAULT 0,
    texts bigint NOT NULL DEFAULT 0,
    tokens bigint NOT NULL DEFAULT 0,
    cost numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, model_id, day)
);
COMMENT ON TABLE embeddings.usage IS 'One row per tenant, model and day (UTC): what was sent to the provider.';
COMMENT ON COLUMN embeddings.usage.cost IS 'In US dollars. Of a call whose answer was never seen, the estimate that was noted before it.';
SELECT ops.isolate_tenants('embeddings.usage');

-- What is made of vectors ------------------------------------------------------------------------------------------------

CREATE TABLE embeddings.lookalike_audience (
    tenant_id text NOT NULL,
    segment_id text NOT NULL,
    profile_id text NOT NULL,
    similarity real NOT NULL,
    place int NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, segment_id, profile_id)
);
COMMENT ON TABLE embeddings.lookalike_audience IS 'One row per seed segment and profile outside of it that is like its members.';
COMMENT ON COLUMN embeddings.lookalike_audience.similarity IS 'Cosine with the nearest of the seed''s centroids, -1..1.';
SELECT ops.isolate_tenants('embeddings.lookalike_audience');

CREATE TABLE embeddings.profile_cluster (
    tenant_id text NOT NULL,
    profile_id text NOT NULL,
    cluster int NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, profile_id)
);
COMMENT ON TABLE embeddings.profile_cluster IS 'One row per clustered profile: the cluster of profiles like it, numbered by size from 1.';
SELECT ops.isolate_tenants('embeddings.profile_cluster');

-- Rows that come past the platform, as from a backup, find the tombstones here too. A job holds a key and nothing else, and
-- goes when its worker finds no text.
CREATE FUNCTION embeddings.keep_erased_out() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    FOR found IN EXECUTE format(
        'SELECT n.tenant_id, %1$s AS kind, array_agg(n.%2$I) AS ids FROM new_rows AS n'
        ' JOIN ops.erased_document AS e ON e.tenant_id = n.tenant_id AND e.document_key = n.%2$I AND e.source ='
        ' CASE %1$s WHEN ''profile'' THEN ''cdp_profile'' WHEN ''transaction'' THEN ''cdp_profile2conversion'' END'
        ' GROUP BY 1, 2', TG_ARGV[0], TG_ARGV[1])
    LOOP
        PERFORM embeddings.forget(found.tenant_id, found.kind, found.ids);
    END LOOP;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_erased_out AFTER INSERT ON embeddings.embedding
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION embeddings.keep_erased_out('n.kind', 'entity_id');
CREATE TRIGGER keep_erased_out AFTER INSERT ON embeddings.passage
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION embeddings.keep_erased_out('n.kind', 'entity_id');
CREATE TRIGGER keep_erased_out AFTER INSERT ON embeddings.lookalike_audience
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION embeddings.keep_erased_out('''profile''', 'profile_id');
CREATE TRIGGER keep_erased_out AFTER INSERT ON embeddings.profile_cluster
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION embeddings.keep_erased_out('''profile''', 'profile_id');

-- Texts that were here before the queue.
DO $$
DECLARE
    each record;
BEGIN
    FOR each IN SELECT tenant_id FROM ops.tenant LOOP
        PERFORM set_config('app.tenant_id', each.tenant_id, true);
        PERFORM embeddings.enqueue(each.tenant_id, 'profile', array_agg(profile_id)) FROM customers.cdp_profiles;
        PERFORM embeddings.enqueue(each.tenant_id, 'transaction', array_agg(line_id)) FROM customers.transactions;
    END LOOP;
    PERFORM set_config('app.tenant_id', '', true);
END
$$;
