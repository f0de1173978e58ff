-- The room campaigns: a due marketing event becomes messages that go out once, to people who may have them.

-- An effect that the outside certainly did not take may be handed over again, under the same key.
INSERT INTO ops.effect_move (before, after) VALUES ('handed_over', 'reserved');

-- An effect may always begin as reserved: a hundred thousand rows of an audience need no look into ops.effect_move.
CREATE OR REPLACE FUNCTION ops.guard_effects(ledger regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE TRIGGER effects_begin BEFORE INSERT ON %s FOR EACH ROW'
        ' WHEN (NEW.state <> ''reserved'') EXECUTE FUNCTION ops.move_effect_forward()', ledger);
    EXECUTE format(
        'CREATE TRIGGER effects_move BEFORE UPDATE OF state ON %s FOR EACH ROW'
        ' WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION ops.move_effect_forward()', ledger);
END
$$;

-- convert_to is stable, so PostgreSQL calls an immutable function with it for each row, where a stable one becomes part of the query.
ALTER FUNCTION ops.address_hash(bytea, text) STABLE;

CREATE SCHEMA campaigns;
GRANT USAGE ON SCHEMA campaigns TO cdp_platform;

-- Segments of LEO CDP -------------------------------------------------------------------------------------------------------------

-- One more collection of LEO CDP that is read, beside profiles and transactions.
CREATE TABLE customers.cdp_segments (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    segment_id text NOT NULL,
    name text,
    description text,
    segment_type int,
    status_code int,
    closed_reason text CHECK (closed_reason IN ('invalid', 'removed', 'dead', 'deleted')),
    closed_at timestamptz CHECK ((closed_at IS NULL) = (closed_reason IS NULL)),
    json_query_rules text,
    custom_query_filter text,
    total_count bigint,
    index_score int,
    managed_by_system boolean,
    created_at timestamptz,
    updated_at timestamptz,
    revision text,
    document jsonb NOT NULL,
    document_hash bytea NOT NULL,
    synced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, segment_id)
);
COMMENT ON TABLE customers.cdp_segments IS 'One row per segment of a tenant (collection cdp_segment); segment_id is its _key.';
COMMENT ON COLUMN customers.cdp_segments.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN customers.cdp_segments.segment_id IS 'The _key of the segment.';
COMMENT ON COLUMN customers.cdp_segments.name IS 'Name that people call the segment by.';
COMMENT ON COLUMN customers.cdp_segments.description IS 'The people that are meant, in words.';
COMMENT ON COLUMN customers.cdp_segments.segment_type IS 'Type code of the CDP.';
COMMENT ON COLUMN customers.cdp_segments.status_code IS 'Status code of the CDP: 0 asked on demand, 1 asked regularly, 2 used by campaigns, -4 removed.';
COMMENT ON COLUMN customers.cdp_segments.closed_reason IS 'Why the segment no longer counts; NULL while it does. The row stays.';
COMMENT ON COLUMN customers.cdp_segments.closed_at IS 'When it was closed, as far as is known.';
COMMENT ON COLUMN customers.cdp_segments.json_query_rules IS 'The tree of a jQuery QueryBuilder, as JSON text.';
COMMENT ON COLUMN customers.cdp_segments.custom_query_filter IS 'AQL that the CDP adds to the rules; NULL without any.';
COMMENT ON COLUMN customers.cdp_segments.total_count IS 'Number of profiles in it when the CDP last counted them.';
COMMENT ON COLUMN customers.cdp_segments.index_score IS 'Its place in the order of the CDP''s segments.';
COMMENT ON COLUMN customers.cdp_segments.managed_by_system IS 'Whether the CDP made it and not a person.';
COMMENT ON COLUMN customers.cdp_segments.created_at IS 'When the segment was made.';
COMMENT ON COLUMN customers.cdp_segments.updated_at IS 'When the CDP last changed it.';
COMMENT ON COLUMN customers.cdp_segments.revision IS 'The _rev of the document; the reconciliation compares it.';
COMMENT ON COLUMN customers.cdp_segments.document IS 'The whole source document.';
COMMENT ON COLUMN customers.cdp_segments.document_hash IS 'Hash of the document: equal documents are not written again.';
COMMENT ON COLUMN customers.cdp_segments.synced_at IS 'When the row was last written.';
SELECT ops.isolate_tenants('customers.cdp_segments');

-- Plans --------------------------------------------------------------------------------------------------------------------

CREATE TABLE campaigns.campaign (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    code text NOT NULL CHECK (code ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    name text NOT NULL,
    objective text,
    start_at timestamptz,
    end_at timestamptz,
    origin text NOT NULL DEFAULT 'cdp_platform',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, code),
    CHECK (end_at >= start_at)
);
COMMENT ON TABLE campaigns.campaign IS 'One row per campaign.';
COMMENT ON COLUMN campaigns.campaign.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.campaign.code IS 'Code of the campaign, unique in the tenant.';
COMMENT ON COLUMN campaigns.campaign.name IS 'Name that people call the campaign by.';
COMMENT ON COLUMN campaigns.campaign.objective IS 'The aim of the campaign, in words.';
COMMENT ON COLUMN campaigns.campaign.start_at IS 'Begin of the campaign.';
COMMENT ON COLUMN campaigns.campaign.end_at IS 'End of the campaign.';
COMMENT ON COLUMN campaigns.campaign.origin IS 'cdp_platform, or leo-activation for history that was imported.';
COMMENT ON COLUMN campaigns.campaign.updated_at IS 'When the row last changed.';
SELECT ops.isolate_tenants('campaigns.campaign');

CREATE TABLE campaigns.message_template (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    template text NOT NULL CHECK (template ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    version int NOT NULL CHECK (version > 0),
    channel_kind text NOT NULL CHECK (channel_kind IN ('email', 'webhook')),
    subject text,
    body_text text,
    body_html text,
    sent_text text,
    sent_html text,
    state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'approved', 'archived')),
    content_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    approved_at timestamptz,
    PRIMARY KEY (tenant_id, template, version),
    CHECK (state <> 'approved' OR approved_at IS NOT NULL)
);
COMMENT ON TABLE campaigns.message_template IS 'One row per template and version. An approved version never changes; it can be archived.';
COMMENT ON COLUMN campaigns.message_template.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.message_template.template IS 'Name of the template.';
COMMENT ON COLUMN campaigns.message_template.version IS 'From 1.';
COMMENT ON COLUMN campaigns.message_template.channel_kind IS 'Kind of channel that it is for.';
COMMENT ON COLUMN campaigns.message_template.subject IS 'Subject, as Jinja; e-mail only.';
COMMENT ON COLUMN campaigns.message_template.body_text IS 'Text, as Jinja; made of the HTML where it is left out.';
COMMENT ON COLUMN campaigns.message_template.body_html IS 'HTML, as Jinja; e-mail only.';
COMMENT ON COLUMN campaigns.message_template.sent_text IS 'The text that is rendered for each person; made at approval.';
COMMENT ON COLUMN campaigns.message_template.sent_html IS 'The HTML that is rendered for each person, with its styles inlined; made at approval.';
COMMENT ON COLUMN campaigns.message_template.state IS 'draft, approved or archived.';
COMMENT ON COLUMN campaigns.message_template.content_hash IS 'SHA-256 of subject, text and HTML: equal content needs no new version.';
COMMENT ON COLUMN campaigns.message_template.created_at IS 'When the version was written.';
COMMENT ON COLUMN campaigns.message_template.approved_at IS 'When the version was approved.';
SELECT ops.isolate_tenants('campaigns.message_template');

-- An approved version never changes, and only a draft can be deleted.
CREATE FUNCTION campaigns.keep_approved() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF OLD.state <> 'draft' AND (
        TG_OP = 'DELETE' OR NEW.state = 'draft'
        OR to_jsonb(NEW) - 'state' IS DISTINCT FROM to_jsonb(OLD) - 'state'
    ) THEN
        RAISE EXCEPTION 'version % of template % is %: write a new version', OLD.version, OLD.template, OLD.state
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
CREATE TRIGGER keep_approved BEFORE UPDATE OR DELETE ON campaigns.message_template
    FOR EACH ROW EXECUTE FUNCTION campaigns.keep_approved();

CREATE TABLE campaigns.segment (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    segment_id text NOT NULL,
    version int NOT NULL CHECK (version > 0),
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('rules', 'membership', 'lookalike')),
    rules jsonb,
    seed_segment_id text,
    origin text NOT NULL CHECK (origin IN ('cdp', 'file')),
    problem text,
    content_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    PRIMARY KEY (tenant_id, segment_id, version),
    CHECK ((kind = 'rules') <= (rules IS NOT NULL)),
    CHECK ((kind = 'lookalike') = (seed_segment_id IS NOT NULL))
);
COMMENT ON TABLE campaigns.segment IS 'One row per segment and version; the greatest version is the one that is used.';
COMMENT ON COLUMN campaigns.segment.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.segment.segment_id IS 'The _key of the segment in the CDP, or the name that a file gives it.';
COMMENT ON COLUMN campaigns.segment.version IS 'From 1; another one where rules, seed or kind changed.';
COMMENT ON COLUMN campaigns.segment.name IS 'Name that people call the segment by.';
COMMENT ON COLUMN campaigns.segment.kind IS 'rules: computed here; membership: whom the CDP has in the segment; lookalike: who is like the seed.';
COMMENT ON COLUMN campaigns.segment.rules IS 'The tree of a jQuery QueryBuilder, as LEO CDP writes it.';
COMMENT ON COLUMN campaigns.segment.seed_segment_id IS 'The segment that a lookalike is like.';
COMMENT ON COLUMN campaigns.segment.origin IS 'cdp or file.';
COMMENT ON COLUMN campaigns.segment.problem IS 'Why the segment cannot be used, or why rules of the CDP are not computed here; NULL if nothing is wrong.';
COMMENT ON COLUMN campaigns.segment.content_hash IS 'SHA-256 of kind, rules and seed.';
COMMENT ON COLUMN campaigns.segment.created_at IS 'When the version was written.';
COMMENT ON COLUMN campaigns.segment.retired_at IS 'When the segment was deleted in the CDP or left the file; NULL while it is there.';
SELECT ops.isolate_tenants('campaigns.segment');

-- Values of documents as AQL sees them, for the rules of segments. A value is jsonb; NULL where the document has none.

-- The place of a text in the order of AQL, which is ICU's root collation with upper case first; this server may be built
-- without ICU. Four levels, to be compared with COLLATE "C": letters and signs, accents, case, the text itself. Latin
-- letters with any accent are in their place; other scripts come after, by code point.
CREATE FUNCTION campaigns.aql_order(value text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    -- translate() looks at one after the other, so the characters of dates come first. Characters without a weight are left out.
    characters CONSTANT text := E'0123456789-:.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
        '\t\n\x0b\f\r _–—,;!¡?¿''"«»()[]{}§¶@*/\\&#%•`^°©®+±÷×<=>|~¢$£¥₫€';
    weights CONSTANT text := E'[\\]^_`abcd(-2efghijklmnopqrstuvwxyz{|}~efghijklmnopqrstuvwxyz{|}~'
        '!"#$%&'')*+,./013456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ';
    cases CONSTANT text := repeat('"', 39) || repeat('!', 26) || repeat('"', 55);
    ignored CONSTANT text := E'\x01\x02\x03\x04\x05\x06\x07\b\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f';
    marks CONSTANT text := E'\u0301\u0300\u0306\u0302\u030c\u030a\u0308\u030b\u0303\u0307\u0338\u0327\u0328\u0304\u0335\u0309\u031b\u0323\u0324\u0325\u0326\u032d\u032e\u0330\u0331';
    decomposed text;
    spelled text;
BEGIN
    IF octet_length(value) = length(value) THEN
        RETURN ARRAY[
            translate(value, characters || ignored, weights), '', translate(value, characters || ignored, cases), value];
    END IF;
    decomposed := normalize(value, NFD);
    -- Letters with a stroke are letters with an accent, though Unicode does not decompose them.
    spelled := replace(replace(replace(replace(translate(decomposed, ignored, ''),
        'ø', E'o\u0338'), 'Ø', E'O\u0338'), 'đ', E'd\u0335'), 'Đ', E'D\u0335');
    spelled := replace(replace(replace(replace(spelled,
        'ł', E'l\u0335'), 'Ł', E'L\u0335'), 'ħ', E'h\u0335'), 'Ħ', E'H\u0335');
    RETURN ARRAY[
        translate(spelled, characters || marks, weights),
        rtrim(translate(regexp_replace(spelled, '[^' || marks || ']', '!', 'g'), marks, '"#$%&''()*+,-./0123456789:'), '!'),
        translate(spelled, characters || marks, cases),
        decomposed];
END
$$;

-- The JSON text of a value as AQL writes it, without spaces. The attributes of an object are in the order of jsonb, which
-- is not that of the source.
CREATE FUNCTION campaigns.aql_json(value jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN CASE jsonb_typeof(value)
        WHEN 'array' THEN (
            SELECT '[' || coalesce(string_agg(campaigns.aql_json(e), ',' ORDER BY place), '') || ']'
            FROM jsonb_array_elements(value) WITH ORDINALITY AS elements (e, place))
        WHEN 'object' THEN (
            SELECT '{' || coalesce(string_agg(to_json(key) || ':' || campaigns.aql_json(e), ',' ORDER BY place), '') || '}'
            FROM jsonb_each(value) WITH ORDINALITY AS attributes (key, e, place))
        WHEN 'number' THEN trim_scale(value::numeric)::text
        ELSE value::text END;
END
$$;

-- TO_STRING() of AQL.
CREATE FUNCTION campaigns.aql_text(value jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE jsonb_typeof(value)
    WHEN 'string' THEN value #>> '{}'
    WHEN 'null' THEN ''
    ELSE coalesce(campaigns.aql_json(value), '') END;

-- TO_BOOL() of AQL.
CREATE FUNCTION campaigns.aql_true(value jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE jsonb_typeof(value)
    WHEN 'boolean' THEN value = 'true'
    WHEN 'number' THEN value <> '0'
    WHEN 'string' THEN value <> '""'
    ELSE coalesce(value <> 'null', false) END;

-- The moment of a date, in UTC: milliseconds since 1970, or ISO 8601 text; NULL where AQL does not take it for a date. As in
-- AQL, days beyond the end of a month run over into the next, and the sign of an offset is that of its hours only.
CREATE FUNCTION campaigns.aql_moment(value jsonb) RETURNS timestamp
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    parts text[];
    moment timestamp;
BEGIN
    CASE jsonb_typeof(value)
        WHEN 'number' THEN
            IF trunc(value::numeric) NOT BETWEEN -62167219200000 AND 253402300799999 THEN
                RETURN NULL;
            END IF;
            RETURN timestamp 'epoch' + trunc(value::numeric)::bigint * interval '1 millisecond';
        WHEN 'string' THEN
            -- The CDP's own layout, on a day that every month has.
            IF value #>> '{}' ~ '^[1-9][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{3}Z$' THEN
                RETURN left(value #>> '{}', 23)::timestamp;
            END IF;
            parts := regexp_match(value #>> '{}', '^[ \t\r\n]*\+?0*([0-9]{1,4})(?:-([0-9]{1,2})(?:-([0-9]{1,2}))?)?'
                '(?:[ T]([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(?:\.([0-9]+))?)?)?'
                '(?:[zZ]|([+-])([0-9]{1,2}):([0-9]{1,2}))?[ \t\r\n]*$');
        ELSE RETURN NULL;
    END CASE;
    IF parts IS NULL OR parts[2]::int NOT BETWEEN 1 AND 12 OR parts[3]::int NOT BETWEEN 1 AND 31 OR parts[4]::int > 23
        OR parts[5]::int > 59 OR parts[6]::int > 59 OR parts[9]::int > 23 OR parts[10]::int > 59 THEN
        RETURN NULL;
    END IF;
    -- 400 years have 146,097 days. PostgreSQL has no year 0.
    moment := (make_date(parts[1]::int + 400, coalesce(parts[2]::int, 1), 1) - 146097 + coalesce(parts[3]::int, 1) - 1)
        + make_interval(
            hours => coalesce(parts[4]::int, 0) - coalesce((parts[8] || parts[9])::int, 0),
            mins => coalesce(parts[5]::int, 0) - coalesce(parts[10]::int, 0),
            secs => coalesce(parts[6]::int, 0) + rpad(left(coalesce(parts[7], '0'), 3), 3, '0')::int / 1000.0);
    RETURN CASE WHEN moment < timestamp '10000-01-01' THEN moment END;
END
$$;

-- DATE_UTCTOLOCAL() of AQL with the time zone that LEO CDP's query builder always writes.
CREATE FUNCTION campaigns.aql_local(value jsonb) RETURNS timestamp
LANGUAGE sql STABLE PARALLEL SAFE
RETURN campaigns.aql_moment(value) AT TIME ZONE 'UTC' AT TIME ZONE 'Asia/Ho_Chi_Minh';

-- DATE_ADD(DATE_NOW(), ...) of AQL: days beyond the end of a month run over into the next.
CREATE FUNCTION campaigns.aql_from_now(years int, months int, days int) RETURNS timestamp
LANGUAGE sql STABLE PARALLEL SAFE
RETURN date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(years => years, months => months)
    + (date_trunc('milliseconds', now() AT TIME ZONE 'UTC') - date_trunc('month', now() AT TIME ZONE 'UTC'))
    + make_interval(days => days);

CREATE TABLE campaigns.marketing_event (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    event_id text NOT NULL CHECK (event_id ~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$'),
    campaign_code text NOT NULL,
    name text NOT NULL,
    description text,
    type text NOT NULL DEFAULT 'message' CHECK (type IN ('message', 'confirmation')),
    channel text NOT NULL,
    segment_id text NOT NULL,
    template text NOT NULL,
    start_at timestamptz NOT NULL,
    end_at timestamptz NOT NULL,
    grace interval NOT NULL DEFAULT '1 hour' CHECK (grace >= interval '0'),
    local_time boolean NOT NULL DEFAULT false,
    rate_per_minute int CHECK (rate_per_minute > 0),
    holdout_share numeric NOT NULL DEFAULT 0 CHECK (holdout_share >= 0 AND holdout_share < 1),
    status text NOT NULL DEFAULT 'planned'
        CHECK (status IN ('planned', 'running', 'paused', 'done', 'partly_failed', 'cancelled', 'missed')),
    status_reason text,
    status_changed_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz,
    origin text NOT NULL DEFAULT 'cdp_platform',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, event_id),
    FOREIGN KEY (tenant_id, campaign_code) REFERENCES campaigns.campaign (tenant_id, code),
    CHECK (end_at >= start_at)
);
COMMENT ON TABLE campaigns.marketing_event IS 'One row per marketing event: one message to the people of one segment, through one channel.';
COMMENT ON COLUMN campaigns.marketing_event.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.marketing_event.event_id IS 'Id of the event, unique in the tenant.';
COMMENT ON COLUMN campaigns.marketing_event.campaign_code IS 'The campaign that it belongs to.';
COMMENT ON COLUMN campaigns.marketing_event.name IS 'Name of the event. With the description it is the text that is embedded.';
COMMENT ON COLUMN campaigns.marketing_event.description IS 'The subject of the event, in words.';
COMMENT ON COLUMN campaigns.marketing_event.type IS 'message, or confirmation: asks those whose consent is requested to confirm it, once for ever.';
COMMENT ON COLUMN campaigns.marketing_event.channel IS 'Name of the channel in channels.yaml.';
COMMENT ON COLUMN campaigns.marketing_event.segment_id IS 'The segment whose people are the audience.';
COMMENT ON COLUMN campaigns.marketing_event.template IS 'The template; the latest approved version when the audience is frozen.';
COMMENT ON COLUMN campaigns.marketing_event.start_at IS 'When it is due. With local_time, the clock time in UTC here is the clock time wherever the person is.';
COMMENT ON COLUMN campaigns.marketing_event.end_at IS 'After this moment nothing is sent.';
COMMENT ON COLUMN campaigns.marketing_event.grace IS 'How late it may begin; later it is missed.';
COMMENT ON COLUMN campaigns.marketing_event.local_time IS 'Whether it begins at the clock time of start_at in the time zone of each person.';
COMMENT ON COLUMN campaigns.marketing_event.rate_per_minute IS 'Most messages per minute of this event; NULL: as fast as the channel goes.';
COMMENT ON COLUMN campaigns.marketing_event.holdout_share IS 'Share of the people that gets nothing, so that the effect can be measured.';
COMMENT ON COLUMN campaigns.marketing_event.status IS 'planned, running, paused, done, partly_failed, cancelled or missed; campaigns.event_may_move has the moves.';
COMMENT ON COLUMN campaigns.marketing_event.status_reason IS 'Why it has this status, without data of persons.';
COMMENT ON COLUMN campaigns.marketing_event.status_changed_at IS 'When the status last changed.';
COMMENT ON COLUMN campaigns.marketing_event.started_at IS 'When it first ran.';
COMMENT ON COLUMN campaigns.marketing_event.ended_at IS 'When it ended.';
COMMENT ON COLUMN campaigns.marketing_event.origin IS 'cdp_platform, or leo-activation for history that was imported.';
COMMENT ON COLUMN campaigns.marketing_event.updated_at IS 'When the row last changed.';
CREATE INDEX marketing_event_open ON campaigns.marketing_event (tenant_id, start_at)
    WHERE status IN ('planned', 'running', 'paused');
SELECT ops.isolate_tenants('campaigns.marketing_event');

-- Which moves an event may make. A row begins as planned, or as history that is imported.
CREATE FUNCTION campaigns.event_may_move(before text, after text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE before
    WHEN 'planned' THEN after IN ('running', 'cancelled', 'missed')
    WHEN 'running' THEN after IN ('paused', 'done', 'partly_failed', 'cancelled')
    WHEN 'paused' THEN after IN ('running', 'cancelled')
    -- A person has what failed tried again.
    WHEN 'partly_failed' THEN after = 'running'
    WHEN 'new' THEN after IN ('planned', 'done', 'partly_failed', 'cancelled', 'missed')
    ELSE false
END;

CREATE FUNCTION campaigns.move_event_forward() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    -- History that was imported moves nowhere, so nothing of it is sent.
    was text := CASE WHEN TG_OP = 'INSERT' THEN 'new' WHEN OLD.origin = 'cdp_platform' THEN OLD.status ELSE 'history' END;
BEGIN
    IF NOT campaigns.event_may_move(was, NEW.status) THEN
        RAISE EXCEPTION 'an event that is % does not become %', was, NEW.status
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    NEW.status_changed_at := pg_catalog.clock_timestamp();
    RETURN NEW;
END
$$;
CREATE TRIGGER event_begins BEFORE INSERT ON campaigns.marketing_event
    FOR EACH ROW EXECUTE FUNCTION campaigns.move_event_forward();
CREATE TRIGGER event_moves BEFORE UPDATE OF status ON campaigns.marketing_event
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION campaigns.move_event_forward();

-- The text of an event, which holds nothing of a person: a template may name people, so it is left out.
CREATE FUNCTION campaigns.event_text(name text, description text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(left(concat_ws('; ', nullif(name, ''), nullif(description, '')), 40000), '');

SELECT embeddings.follow(
    'campaigns.marketing_event', 'event', 'event_id', 'campaigns.event_text({r}.name, {r}.description)');
COMMENT ON VIEW embeddings.event_texts IS 'One row per marketing event: the text that is embedded.';
COMMENT ON COLUMN embeddings.event_texts.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN embeddings.event_texts.kind IS 'Always event.';
COMMENT ON COLUMN embeddings.event_texts.entity_id IS 'Id of the event.';
COMMENT ON COLUMN embeddings.event_texts.content IS 'The text; NULL where there is nothing to embed.';
CREATE OR REPLACE VIEW embeddings.entity_text WITH (security_invoker = true) AS
SELECT * FROM embeddings.profile_texts UNION ALL SELECT * FROM embeddings.transaction_texts
UNION ALL SELECT * FROM embeddings.product_texts UNION ALL SELECT * FROM embeddings.event_texts;

-- An id for something that has another name elsewhere: the name itself where it can be one, else what can, and a hash of all.
CREATE FUNCTION campaigns.as_id(name text, longest int) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN name ~ '^[A-Za-z0-9][A-Za-z0-9._-]*$' AND length(name) <= longest THEN name ELSE
    left(coalesce(nullif(ltrim(regexp_replace(name, '[^A-Za-z0-9._-]+', '-', 'g'), '._-'), ''), 'x'), longest - 9)
    || '-' || left(encode(sha256(convert_to(name, 'UTF8')), 'hex'), 8)
END;
REVOKE EXECUTE ON FUNCTION campaigns.as_id FROM PUBLIC;
GRANT EXECUTE ON FUNCTION campaigns.as_id TO cdp_platform;

-- Permission -------------------------------------------------------------------------------------------------------------------

CREATE TABLE campaigns.consent_management (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    profile_id text NOT NULL,
    channel text NOT NULL,
    state text NOT NULL CHECK (state IN ('unknown', 'requested', 'given', 'refused', 'withdrawn')),
    legal_basis text,
    source text NOT NULL,
    evidence text,
    happened_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, profile_id, channel)
);
COMMENT ON TABLE campaigns.consent_management IS 'One row per person and channel: the consent that holds now. Belongs to the platform; no sync overwrites it.';
COMMENT ON COLUMN campaigns.consent_management.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.consent_management.profile_id IS 'The profile.';
COMMENT ON COLUMN campaigns.consent_management.channel IS 'Name of the channel in channels.yaml.';
COMMENT ON COLUMN campaigns.consent_management.state IS 'unknown, requested, given, refused or withdrawn.';
COMMENT ON COLUMN campaigns.consent_management.legal_basis IS 'Legal basis, such as consent or contract.';
COMMENT ON COLUMN campaigns.consent_management.source IS 'The source of the consent: file, cdp, one-click, preferences, confirmation, complaint or person.';
COMMENT ON COLUMN campaigns.consent_management.evidence IS 'The proof, such as the name of a form and its version.';
COMMENT ON COLUMN campaigns.consent_management.happened_at IS 'When the person said so. An earlier word never replaces a later one.';
COMMENT ON COLUMN campaigns.consent_management.recorded_at IS 'When it was written down here.';
SELECT ops.isolate_tenants('campaigns.consent_management');
SELECT ops.keep_erased_out('campaigns.consent_management', '{{cdp_profile,profile_id}}');

CREATE TABLE campaigns.consent_change (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    change_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    profile_id text NOT NULL,
    channel text NOT NULL,
    before text,
    after text NOT NULL,
    legal_basis text,
    source text NOT NULL,
    evidence text,
    happened_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, change_id)
);
COMMENT ON TABLE campaigns.consent_change IS 'One row per change of a person''s consent for a channel. Written by a trigger of consent_management.';
COMMENT ON COLUMN campaigns.consent_change.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.consent_change.change_id IS 'Number of the change.';
COMMENT ON COLUMN campaigns.consent_change.profile_id IS 'The profile.';
COMMENT ON COLUMN campaigns.consent_change.channel IS 'Name of the channel.';
COMMENT ON COLUMN campaigns.consent_change.before IS 'State before; NULL if there was none.';
COMMENT ON COLUMN campaigns.consent_change.after IS 'State after.';
COMMENT ON COLUMN campaigns.consent_change.legal_basis IS 'The legal basis, as in consent_management.';
COMMENT ON COLUMN campaigns.consent_change.source IS 'The source of the consent, as in consent_management.';
COMMENT ON COLUMN campaigns.consent_change.evidence IS 'The proof, as in consent_management.';
COMMENT ON COLUMN campaigns.consent_change.happened_at IS 'When the person said so.';
COMMENT ON COLUMN campaigns.consent_change.recorded_at IS 'When it was written down here.';
CREATE INDEX consent_change_profile ON campaigns.consent_change (tenant_id, profile_id);
SELECT ops.isolate_tenants('campaigns.consent_change');
SELECT ops.keep_erased_out('campaigns.consent_change', '{{cdp_profile,profile_id}}');

CREATE FUNCTION campaigns.note_consent_given() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    INSERT INTO campaigns.consent_change
        (tenant_id, profile_id, channel, after, legal_basis, source, evidence, happened_at)
    SELECT n.tenant_id, n.profile_id, n.channel, n.state, n.legal_basis, n.source, n.evidence, n.happened_at FROM new_rows AS n;
    RETURN NULL;
END
$$;
CREATE FUNCTION campaigns.note_consent_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    INSERT INTO campaigns.consent_change
        (tenant_id, profile_id, channel, before, after, legal_basis, source, evidence, happened_at)
    SELECT n.tenant_id, n.profile_id, n.channel, o.state, n.state, n.legal_basis, n.source, n.evidence, n.happened_at
    FROM new_rows AS n
    JOIN old_rows AS o ON o.tenant_id = n.tenant_id AND o.profile_id = n.profile_id AND o.channel = n.channel
    WHERE (o.state, o.legal_basis, o.source, o.evidence, o.happened_at)
        IS DISTINCT FROM (n.state, n.legal_basis, n.source, n.evidence, n.happened_at);
    RETURN NULL;
END
$$;
CREATE TRIGGER note_given AFTER INSERT ON campaigns.consent_management REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION campaigns.note_consent_given();
CREATE TRIGGER note_changed AFTER UPDATE ON campaigns.consent_management REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION campaigns.note_consent_changed();

CREATE TABLE campaigns.suppression (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    channel text NOT NULL,
    address_hash bytea NOT NULL,
    reason text NOT NULL CHECK (reason IN ('hard_bounce', 'complaint', 'opt_out', 'manual')),
    detail text,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, channel, address_hash)
);
COMMENT ON TABLE campaigns.suppression IS 'One row per channel and address that gets no more messages. Knows addresses as hashes alone, and outlives an erasure.';
COMMENT ON COLUMN campaigns.suppression.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.suppression.channel IS 'Name of the channel, or * for all channels.';
COMMENT ON COLUMN campaigns.suppression.address_hash IS 'ops.address_hash of the address.';
COMMENT ON COLUMN campaigns.suppression.reason IS 'hard_bounce, complaint, opt_out or manual.';
COMMENT ON COLUMN campaigns.suppression.detail IS 'Status code, or who said so.';
COMMENT ON COLUMN campaigns.suppression.since IS 'When it began.';
SELECT ops.isolate_tenants('campaigns.suppression');

CREATE TABLE campaigns.recipient (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    channel text NOT NULL,
    address_hash bytea NOT NULL,
    soft_bounces timestamptz[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, channel, address_hash)
);
COMMENT ON TABLE campaigns.recipient IS 'One row per channel and address: what is locked while caps are counted. Channel * stands for all channels of an address, and with the hash of a profile''s id for all addresses of a profile.';
COMMENT ON COLUMN campaigns.recipient.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.recipient.channel IS 'Name of the channel, or *.';
COMMENT ON COLUMN campaigns.recipient.address_hash IS 'ops.address_hash of the address, or of the profile''s id.';
COMMENT ON COLUMN campaigns.recipient.soft_bounces IS 'When messages bounced softly in the last 30 days. Three make a hard bounce.';
SELECT ops.isolate_tenants('campaigns.recipient');

-- Each person's addresses by the kind of address that a channel reaches, with the hashes that suppression and caps know. Closed
-- profiles have them too: a refusal of theirs still holds for their address.
CREATE VIEW campaigns.address_of WITH (security_invoker = true) AS
SELECT p.tenant_id, p.profile_id, 'email' AS kind, p.primary_email AS address,
    ops.address_hash(s.salt, p.primary_email) AS address_hash, p.closed_at
FROM customers.cdp_profiles AS p JOIN ops.address_salt AS s ON s.tenant_id = p.tenant_id WHERE p.primary_email IS NOT NULL
UNION ALL
SELECT p.tenant_id, p.profile_id, 'phone', p.primary_phone, ops.address_hash(s.salt, p.primary_phone), p.closed_at
FROM customers.cdp_profiles AS p JOIN ops.address_salt AS s ON s.tenant_id = p.tenant_id WHERE p.primary_phone IS NOT NULL;
COMMENT ON VIEW campaigns.address_of IS 'One row per person and kind of address. Shows nothing before ops.salt_of made the tenant''s secret.';
COMMENT ON COLUMN campaigns.address_of.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.address_of.profile_id IS 'The profile.';
COMMENT ON COLUMN campaigns.address_of.kind IS 'email or phone.';
COMMENT ON COLUMN campaigns.address_of.address IS 'E-mail address in lower case, or phone number in E.164.';
COMMENT ON COLUMN campaigns.address_of.address_hash IS 'ops.address_hash of the address.';
COMMENT ON COLUMN campaigns.address_of.closed_at IS 'When the profile was closed; NULL while it is open.';
GRANT SELECT ON campaigns.address_of TO cdp_platform;

-- Finds the others who have an address: a refusal of theirs holds for it.
CREATE INDEX cdp_profiles_primary_email ON customers.cdp_profiles (tenant_id, primary_email) WHERE primary_email IS NOT NULL;
CREATE INDEX cdp_profiles_primary_phone ON customers.cdp_profiles (tenant_id, primary_phone) WHERE primary_phone IS NOT NULL;

-- Message-ID and Idempotency-Key of a delivery, the same for ever; says nothing of the person to who lacks the tenant's secret.
-- Addresses have no NUL, so no key is the hash of one.
CREATE FUNCTION campaigns.message_key(salt bytea, event_id text, profile_id text, channel text, step int) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN left(encode(sha256(
    salt || '\x00'::bytea || convert_to(event_id, 'UTF8') || '\x00'::bytea || convert_to(profile_id, 'UTF8')
    || '\x00'::bytea || convert_to(channel, 'UTF8') || '\x00'::bytea || convert_to(step::text, 'UTF8')), 'hex'), 40);

-- When an event with local time is due where the clock is that of a zone: at the clock time that start_at has in UTC.
CREATE FUNCTION campaigns.local_start(start_at timestamptz, zone text) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (start_at AT TIME ZONE 'UTC') AT TIME ZONE zone;

-- The moment itself, or, in quiet hours of the zone, their end. A clock time that a clock change leaves out is the moment as long
-- after the change as it would be after the old time; of one that comes twice it is the second, so that no quiet hour is cut.
CREATE FUNCTION campaigns.next_allowed(moment timestamptz, zone text, quiet_from time, quiet_until time) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN quiet_from < quiet_until AND (moment AT TIME ZONE zone)::time >= quiet_from AND (moment AT TIME ZONE zone)::time < quiet_until
        OR quiet_from > quiet_until AND (moment AT TIME ZONE zone)::time < quiet_until
        THEN ((moment AT TIME ZONE zone)::date + quiet_until) AT TIME ZONE zone
    WHEN quiet_from > quiet_until AND (moment AT TIME ZONE zone)::time >= quiet_from
        THEN ((moment AT TIME ZONE zone)::date + 1 + quiet_until) AT TIME ZONE zone
    ELSE moment
END;

-- Audiences and deliveries ---------------------------------------------------------------------------------------------------------

-- Holds people out, who get nothing, so that the effect can be measured. The hash decides for ever and for any share, so a person who is held out
-- stays held out when the share grows. 52 bits are what a double holds exactly.
CREATE FUNCTION campaigns.held_out(salt bytea, scope text, profile_id text, share numeric) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN share > 0 AND (
    'x' || left(encode(sha256(salt || convert_to(scope || chr(10) || profile_id, 'UTF8')), 'hex'), 13)
)::bit(52)::bigint < share::double precision * 4503599627370496;
COMMENT ON FUNCTION campaigns.held_out IS 'Whether a person is among the share that gets nothing: of all events for scope *, or of the event that scope names. Scopes are independent of each other. Takes the salt of ops.salt_of.';
REVOKE EXECUTE ON FUNCTION campaigns.held_out FROM PUBLIC;
GRANT EXECUTE ON FUNCTION campaigns.held_out TO cdp_platform;

CREATE TABLE campaigns.segment_snapshot (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    snapshot_id text NOT NULL,
    event_id text,
    segment_id text NOT NULL,
    segment_version int,
    segment_hash bytea,
    template text,
    template_version int,
    holdout_share numeric NOT NULL DEFAULT 0,
    global_holdout_share numeric NOT NULL DEFAULT 0,
    people int NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, snapshot_id),
    UNIQUE (tenant_id, event_id)
);
COMMENT ON TABLE campaigns.segment_snapshot IS 'One row per resolved audience. It is frozen: nobody is added later.';
COMMENT ON COLUMN campaigns.segment_snapshot.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.segment_snapshot.snapshot_id IS 'Id of the snapshot: that of its event.';
COMMENT ON COLUMN campaigns.segment_snapshot.event_id IS 'The event whose audience it is; NULL for imported history without one.';
COMMENT ON COLUMN campaigns.segment_snapshot.segment_id IS 'The segment.';
COMMENT ON COLUMN campaigns.segment_snapshot.segment_version IS 'Version of the segment that was resolved.';
COMMENT ON COLUMN campaigns.segment_snapshot.segment_hash IS 'content_hash of that version.';
COMMENT ON COLUMN campaigns.segment_snapshot.template IS 'The template of its messages.';
COMMENT ON COLUMN campaigns.segment_snapshot.template_version IS 'The version of it, whatever is approved later.';
COMMENT ON COLUMN campaigns.segment_snapshot.holdout_share IS 'Share of the people that this event held out.';
COMMENT ON COLUMN campaigns.segment_snapshot.global_holdout_share IS 'Share of all people that the tenant held out of every event at that moment.';
COMMENT ON COLUMN campaigns.segment_snapshot.people IS 'Number of people in the audience, excluded ones too.';
COMMENT ON COLUMN campaigns.segment_snapshot.taken_at IS 'The moment for which the audience was resolved.';
SELECT ops.isolate_tenants('campaigns.segment_snapshot');

-- Members and deliveries come by the hundred thousand, and a foreign key would cost a look-up for each; they come only by a tenant
-- that was looked up in the registry, from which no tenant is ever deleted.
CREATE TABLE campaigns.segment_snapshot_member (
    tenant_id text NOT NULL,
    snapshot_id text NOT NULL,
    member int NOT NULL,
    profile_id text,
    decision text NOT NULL CHECK (decision IN ('included', 'excluded')),
    reason text,
    time_zone text,
    time_zone_source text,
    PRIMARY KEY (tenant_id, snapshot_id, member),
    UNIQUE (tenant_id, profile_id, snapshot_id),
    CHECK ((decision = 'excluded') = (reason IS NOT NULL))
);
COMMENT ON TABLE campaigns.segment_snapshot_member IS 'One row per person in a resolved audience, with the decision and its first reason.';
COMMENT ON COLUMN campaigns.segment_snapshot_member.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.segment_snapshot_member.snapshot_id IS 'The audience.';
COMMENT ON COLUMN campaigns.segment_snapshot_member.member IS 'Number within the audience, which says nothing of the person.';
COMMENT ON COLUMN campaigns.segment_snapshot_member.profile_id IS 'The profile; NULL after an erasure.';
COMMENT ON COLUMN campaigns.segment_snapshot_member.decision IS 'included or excluded.';
COMMENT ON COLUMN campaigns.segment_snapshot_member.reason IS 'The first that applies of closed, no_address, no_consent, suppressed, duplicate, capped, holdout, too_late.';
COMMENT ON COLUMN campaigns.segment_snapshot_member.time_zone IS 'IANA name of the person''s time zone.';
COMMENT ON COLUMN campaigns.segment_snapshot_member.time_zone_source IS 'phone, country or tenant.';
SELECT ops.isolate_tenants('campaigns.segment_snapshot_member');
SELECT ops.keep_erased_out(
    'campaigns.segment_snapshot_member', '{{cdp_profile,profile_id}}', blanked => '{profile_id,time_zone,time_zone_source}');

-- Deliveries -------------------------------------------------------------------------------------------------------------------------

CREATE TABLE campaigns.delivery_log (
    tenant_id text NOT NULL,
    delivery_id text NOT NULL DEFAULT gen_random_uuid()::text,
    event_id text NOT NULL,
    profile_id text,
    channel text NOT NULL,
    step int NOT NULL DEFAULT 1,
    address_hash bytea,
    message_key text,
    state ops.effect_state NOT NULL DEFAULT 'reserved',
    reason text,
    answer text,
    due_at timestamptz,
    time_zone text,
    attempts int NOT NULL DEFAULT 0,
    superseded boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    handed_over_at timestamptz,
    settled_at timestamptz,
    origin text NOT NULL DEFAULT 'cdp_platform',
    PRIMARY KEY (tenant_id, delivery_id),
    -- In an order in which they also find all deliveries of a person or an address.
    UNIQUE (tenant_id, profile_id, event_id, channel, step),
    UNIQUE (tenant_id, address_hash, event_id, channel, step),
    UNIQUE (tenant_id, message_key),
    CHECK (state <> 'reserved' OR due_at IS NOT NULL),
    CHECK (state = 'failed' OR NOT superseded)
) WITH (fillfactor = 70);
COMMENT ON TABLE campaigns.delivery_log IS 'One row per delivery: the ledger of messages, with the states of ops.effects.';
COMMENT ON COLUMN campaigns.delivery_log.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.delivery_log.delivery_id IS 'Random id, which leaves nowhere.';
COMMENT ON COLUMN campaigns.delivery_log.event_id IS 'The marketing event.';
COMMENT ON COLUMN campaigns.delivery_log.profile_id IS 'The person; NULL after an erasure.';
COMMENT ON COLUMN campaigns.delivery_log.channel IS 'Name of the channel in channels.yaml.';
COMMENT ON COLUMN campaigns.delivery_log.step IS 'Which message of the event it is, from 1.';
COMMENT ON COLUMN campaigns.delivery_log.address_hash IS 'ops.address_hash of the address that the audience was resolved with; NULL after an erasure.';
COMMENT ON COLUMN campaigns.delivery_log.message_key IS 'Message-ID and Idempotency-Key: a hash under the tenant''s secret of event, profile, channel and step; NULL after an erasure.';
COMMENT ON COLUMN campaigns.delivery_log.state IS 'reserved, handed_over, confirmed, failed, unknown or excluded; ops.effect_move has the moves.';
COMMENT ON COLUMN campaigns.delivery_log.reason IS 'Why it has this state, in a stable word such as no_consent, erased or bad_address.';
COMMENT ON COLUMN campaigns.delivery_log.answer IS 'Code of the provider''s last answer, such as 550 5.1.1, without data of a person.';
COMMENT ON COLUMN campaigns.delivery_log.due_at IS 'Not before this moment: the start in the person''s time zone, the end of quiet hours, or the next attempt. For an unknown one, when the same key goes again; NULL: never by itself.';
COMMENT ON COLUMN campaigns.delivery_log.time_zone IS 'IANA name of the person''s time zone, for quiet hours; NULL after an erasure.';
COMMENT ON COLUMN campaigns.delivery_log.attempts IS 'Attempts that failed for a reason of this person.';
COMMENT ON COLUMN campaigns.delivery_log.superseded IS 'Whether a later step took the place of this failed one, because a person wanted it tried again.';
COMMENT ON COLUMN campaigns.delivery_log.created_at IS 'When it was reserved.';
COMMENT ON COLUMN campaigns.delivery_log.handed_over_at IS 'When it was last handed over; counts for caps.';
COMMENT ON COLUMN campaigns.delivery_log.settled_at IS 'When it became confirmed, failed, unknown or excluded.';
COMMENT ON COLUMN campaigns.delivery_log.origin IS 'cdp_platform, or leo-activation for history that was imported.';
SELECT ops.isolate_tenants('campaigns.delivery_log');
SELECT ops.guard_effects('campaigns.delivery_log');
SELECT ops.make_claimable('campaigns.delivery_log');
CREATE INDEX delivery_log_due ON campaigns.delivery_log (tenant_id, event_id, due_at, delivery_id)
    WHERE state IN ('reserved', 'unknown');
CREATE INDEX delivery_log_handed_over ON campaigns.delivery_log (tenant_id, handed_over_at) WHERE handed_over_at IS NOT NULL;
CREATE INDEX delivery_log_open ON campaigns.delivery_log (tenant_id, event_id) WHERE state IN ('handed_over', 'unknown', 'failed');

-- Statistics of tables that were filled and never looked at, as by the first event of all: without them the planner believes that
-- any column finds a row as well as the key does, and each batch would read all of a tenant. Later autovacuum keeps them.
CREATE FUNCTION campaigns.gather_statistics() RETURNS pg_catalog.void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    filled pg_catalog.regclass;
BEGIN
    FOR filled IN
        SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_class AS c
        WHERE c.oid IN (
            'campaigns.delivery_log'::pg_catalog.regclass, 'campaigns.consent_management'::pg_catalog.regclass,
            'campaigns.suppression'::pg_catalog.regclass, 'campaigns.recipient'::pg_catalog.regclass,
            'customers.cdp_profiles'::pg_catalog.regclass)
          AND c.reltuples <= 0 AND pg_catalog.pg_relation_size(c.oid) > 0
    LOOP
        EXECUTE pg_catalog.format('ANALYZE %s', filled);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION campaigns.gather_statistics FROM PUBLIC;
GRANT EXECUTE ON FUNCTION campaigns.gather_statistics TO cdp_platform;

-- An erased person gets nothing more, and the sums of the event stay right.
CREATE FUNCTION campaigns.erase_deliveries(for_tenant text, person ops.person) RETURNS bigint
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    UPDATE campaigns.delivery_log SET state = 'excluded', reason = 'erased', settled_at = now(), claim = NULL, lease_until = NULL
    WHERE tenant_id = for_tenant AND profile_id = ANY (person.profile_ids) AND state = 'reserved';
    DELETE FROM campaigns.recipient AS r USING ops.address_salt AS s, pg_catalog.unnest(
        person.profile_ids || person.addresses || person.phones) AS known
    WHERE r.tenant_id = for_tenant AND s.tenant_id = for_tenant AND r.address_hash = ops.address_hash(s.salt, known);
    -- Blanking counts the deliveries.
    RETURN 0;
END
$$;
SELECT ops.keep_erased_out(
    'campaigns.delivery_log', '{{cdp_profile,profile_id}}', blanked => '{profile_id,address_hash,message_key,time_zone}',
    erase => 'campaigns.erase_deliveries');

CREATE TABLE campaigns.delivery_outcome (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    outcome_id text NOT NULL,
    delivery_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('delivered', 'bounced', 'complained', 'opted_out')),
    status_code text,
    happened_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, outcome_id)
);
COMMENT ON TABLE campaigns.delivery_outcome IS 'One row per report of a provider, or of a person, about a delivery.';
COMMENT ON COLUMN campaigns.delivery_outcome.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.delivery_outcome.outcome_id IS 'Hash of channel and the provider''s id of the report: each report counts once.';
COMMENT ON COLUMN campaigns.delivery_outcome.delivery_id IS 'The delivery.';
COMMENT ON COLUMN campaigns.delivery_outcome.kind IS 'delivered, bounced, complained or opted_out.';
COMMENT ON COLUMN campaigns.delivery_outcome.status_code IS 'RFC 3463 code of a bounce.';
COMMENT ON COLUMN campaigns.delivery_outcome.happened_at IS 'When it happened, as the report says.';
COMMENT ON COLUMN campaigns.delivery_outcome.received_at IS 'When the report came.';
CREATE INDEX delivery_outcome_delivery ON campaigns.delivery_outcome (tenant_id, delivery_id);
SELECT ops.isolate_tenants('campaigns.delivery_outcome');

-- How far each event is: audience = excluded + waiting + handed over + confirmed + failed + unknown, at every moment.
CREATE VIEW campaigns.event_state WITH (security_invoker = true) AS
SELECT d.tenant_id, d.event_id, d.state::text AS state, d.reason, count(*) AS people
FROM campaigns.delivery_log AS d WHERE NOT d.superseded GROUP BY 1, 2, 3, 4
UNION ALL
SELECT s.tenant_id, s.event_id, 'excluded', m.reason, count(*)
FROM campaigns.segment_snapshot AS s
JOIN campaigns.segment_snapshot_member AS m ON m.tenant_id = s.tenant_id AND m.snapshot_id = s.snapshot_id
WHERE m.decision = 'excluded' AND s.event_id IS NOT NULL GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW campaigns.event_state IS 'One row per event, state and reason: number of people. Includes those whom the audience excluded.';
COMMENT ON COLUMN campaigns.event_state.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.event_state.event_id IS 'The event.';
COMMENT ON COLUMN campaigns.event_state.state IS 'State of the deliveries.';
COMMENT ON COLUMN campaigns.event_state.reason IS 'Their reason.';
COMMENT ON COLUMN campaigns.event_state.people IS 'Number of people.';
GRANT SELECT ON campaigns.event_state TO cdp_platform;

-- Effect -----------------------------------------------------------------------------------------------------------------------------

CREATE TABLE campaigns.effect (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    event_id text NOT NULL,
    holdout text NOT NULL CHECK (holdout IN ('event', 'global')),
    currency text NOT NULL,
    treated int NOT NULL,
    held_out int NOT NULL,
    erased int NOT NULL,
    treated_buyers int NOT NULL,
    held_out_buyers int NOT NULL,
    treated_mean double precision,
    held_out_mean double precision,
    difference double precision,
    low double precision,
    high double precision,
    total double precision,
    verdict text NOT NULL CHECK (verdict IN ('more', 'less', 'no_difference', 'too_few', 'too_early')),
    buyers_needed int,
    people_needed int,
    measured_until timestamptz NOT NULL,
    measured_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, event_id, holdout, currency),
    CHECK ((verdict IN ('too_few', 'too_early')) = (difference IS NULL)),
    CHECK ((difference IS NULL) = (low IS NULL) AND (low IS NULL) = (high IS NULL) AND (low IS NULL) = (total IS NULL))
);
COMMENT ON TABLE campaigns.effect IS 'One row per event, kind of holdout and currency: what the event changed in the purchases of those who were to have it.';
COMMENT ON COLUMN campaigns.effect.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN campaigns.effect.event_id IS 'The marketing event.';
COMMENT ON COLUMN campaigns.effect.holdout IS 'event: against those whom this event held out, the effect of this event. global: against those held out of every event, the effect of all messages of these days.';
COMMENT ON COLUMN campaigns.effect.currency IS 'ISO 4217 code of the purchases; amounts are in units of it.';
COMMENT ON COLUMN campaigns.effect.treated IS 'People who were to have the message, whether it was sent or not.';
COMMENT ON COLUMN campaigns.effect.held_out IS 'People who were held out.';
COMMENT ON COLUMN campaigns.effect.erased IS 'People of the audience who were erased since, and are in neither number.';
COMMENT ON COLUMN campaigns.effect.treated_buyers IS 'Treated people who bought in the days that are measured.';
COMMENT ON COLUMN campaigns.effect.held_out_buyers IS 'People held out who bought in the days that are measured.';
COMMENT ON COLUMN campaigns.effect.treated_mean IS 'Revenue per treated person, net of refunds.';
COMMENT ON COLUMN campaigns.effect.held_out_mean IS 'Revenue per person held out, net of refunds.';
COMMENT ON COLUMN campaigns.effect.difference IS 'Revenue per person that the event made, adjusted by what each had bought before; NULL without a verdict.';
COMMENT ON COLUMN campaigns.effect.low IS 'Lower end of its 95 % interval.';
COMMENT ON COLUMN campaigns.effect.high IS 'Upper end of its 95 % interval.';
COMMENT ON COLUMN campaigns.effect.total IS 'The difference times the treated people.';
COMMENT ON COLUMN campaigns.effect.verdict IS 'more or less: the interval does not hold 0. no_difference: it does. too_few: too few bought. too_early: the days are not over.';
COMMENT ON COLUMN campaigns.effect.buyers_needed IS 'Buyers that the smaller side would need for a verdict; NULL if there is one.';
COMMENT ON COLUMN campaigns.effect.people_needed IS 'People that it would need for that at the present rate of buyers; NULL if nobody bought, or there is a verdict.';
COMMENT ON COLUMN campaigns.effect.measured_until IS 'End of the days whose purchases count.';
COMMENT ON COLUMN campaigns.effect.measured_at IS 'When it was measured.';
SELECT ops.isolate_tenants('campaigns.effect');

-- Due events of all tenants -----------------------------------------------------------------------------------------------------------

-- When an event begins: with local_time, as its clock time comes to the easternmost time zone, UTC+14.
CREATE FUNCTION campaigns.begins_at(start_at timestamptz, local_time boolean) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN local_time THEN start_at - interval '14 hours' ELSE start_at END;

-- The sensor waits for such a notice, and so learns at once of an event that was planned, moved or resumed.
CREATE FUNCTION campaigns.tell_of_event() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('campaigns_event', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_of_event AFTER INSERT OR UPDATE OF status, start_at, end_at ON campaigns.marketing_event
    FOR EACH STATEMENT EXECUTE FUNCTION campaigns.tell_of_event();

-- The open events of all active tenants, and when each is due next: the sensor has to know before it acts for a tenant. Ids
-- and moments, nothing of a person. An event begins when it is planned for now. A running one goes on when a delivery is
-- due, and where it has no audience yet, or nothing is open in it any more. One whose messages are handed over waits for them,
-- or for the end of the lease of a dispatcher that vanished.
CREATE POLICY due ON campaigns.marketing_event FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY due ON campaigns.segment_snapshot FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY due ON campaigns.delivery_log FOR SELECT TO CURRENT_USER USING (true);
CREATE FUNCTION campaigns.due()
RETURNS TABLE (
    tenant_id pg_catalog.text, event_id pg_catalog.text, channel pg_catalog.text, what pg_catalog.text,
    due_at pg_catalog.timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
    SELECT e.tenant_id, e.event_id, e.channel, CASE e.status WHEN 'planned' THEN 'begin' ELSE 'go on' END,
        CASE
            WHEN e.status = 'planned' THEN campaigns.begins_at(e.start_at, e.local_time)
            WHEN NOT EXISTS (
                SELECT FROM campaigns.segment_snapshot AS s WHERE s.tenant_id = e.tenant_id AND s.event_id = e.event_id
            ) THEN e.start_at
            ELSE coalesce(
                -- After its end nobody waits any more.
                least(next.due_at, CASE WHEN next.due_at IS NOT NULL THEN e.end_at END),
                open.due_at, e.status_changed_at)
        END
    FROM campaigns.marketing_event AS e
    JOIN ops.tenant AS t ON t.tenant_id = e.tenant_id AND t.status = 'active'
    LEFT JOIN LATERAL (
        SELECT d.due_at FROM campaigns.delivery_log AS d
        WHERE d.tenant_id = e.tenant_id AND d.event_id = e.event_id
          AND d.state::pg_catalog.text IN ('reserved', 'unknown')
        ORDER BY d.due_at LIMIT 1
    ) AS next ON e.status = 'running'
    LEFT JOIN LATERAL (
        SELECT pg_catalog.min(coalesce(d.lease_until, 'infinity')) AS due_at FROM campaigns.delivery_log AS d
        WHERE d.tenant_id = e.tenant_id AND d.event_id = e.event_id AND d.state::pg_catalog.text = 'handed_over'
    ) AS open ON e.status = 'running' AND next.due_at IS NULL
    WHERE e.status IN ('planned', 'running');
END;
REVOKE EXECUTE ON FUNCTION campaigns.due FROM PUBLIC;
GRANT EXECUTE ON FUNCTION campaigns.due TO cdp_platform;

-- The tenants of messages: a provider reports by key alone, and knows no tenant. Only messages of its own channel are found.
CREATE FUNCTION campaigns.tenants_of_keys(of_channel pg_catalog.text, keys pg_catalog.text[])
RETURNS TABLE (message_key pg_catalog.text, tenant_id pg_catalog.text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
    SELECT d.message_key, d.tenant_id
    FROM ops.tenant AS t
    CROSS JOIN (SELECT DISTINCT k FROM pg_catalog.unnest(keys) AS k) AS given
    JOIN campaigns.delivery_log AS d ON d.tenant_id = t.tenant_id AND d.message_key = given.k
    WHERE d.channel = of_channel;
END;
REVOKE EXECUTE ON FUNCTION campaigns.tenants_of_keys FROM PUBLIC;
GRANT EXECUTE ON FUNCTION campaigns.tenants_of_keys TO cdp_platform;
