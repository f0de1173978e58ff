-- PostgreSQL's own limit is measured with these tables. They are as migration 0026 left them, with all constraints and indexes.
-- They stay as they are: a lighter table of the platform makes its sync faster, and not the limit.

CREATE TABLE limit_cdp_profiles (
    tenant_id text NOT NULL, profile_id text NOT NULL, status text NOT NULL, status_code int, profile_type int,
    root_profile_id text, merge_code int, closed_reason text, closed_at timestamptz, identities jsonb NOT NULL,
    visitor_id text, visitor_ids jsonb NOT NULL, fingerprint_id text, crm_ref_id text, primary_email text,
    primary_email_raw text, secondary_emails jsonb NOT NULL, primary_phone text, primary_phone_raw text,
    secondary_phones jsonb NOT NULL, first_name text, middle_name text, last_name text, gender text, age int,
    primary_nationality text, living_location text, living_country text, living_state text, living_province text,
    living_county text, living_city text, living_district text, living_ward text, job_titles jsonb NOT NULL,
    data_labels jsonb NOT NULL, content_keywords jsonb NOT NULL, product_keywords jsonb NOT NULL,
    media_channels jsonb NOT NULL, behavioral_events jsonb NOT NULL, segments jsonb NOT NULL,
    campaigns jsonb NOT NULL, accounts jsonb NOT NULL, journey_maps jsonb NOT NULL, event_statistics jsonb NOT NULL,
    top_engaged_touchpoints jsonb NOT NULL, funnel_stage text, last_purchase_event jsonb,
    purchased_items jsonb NOT NULL, total_lead_score double precision, rfm_score double precision,
    churn_score double precision, total_clv double precision, total_cac double precision,
    total_transaction_value double precision, receive_email boolean, receive_sms boolean, receive_web_push boolean,
    receive_app_push boolean, receive_ads boolean, ext_data jsonb NOT NULL, created_at timestamptz,
    updated_at timestamptz, updated_by_crm_at timestamptz, document jsonb NOT NULL, document_hash bytea NOT NULL,
    synced_at timestamptz NOT NULL DEFAULT now(), revision text, enriched_title text, enriched_company text,
    enriched_industry text, enriched_seniority text, enriched_at timestamptz,
    PRIMARY KEY (tenant_id, profile_id),
    CHECK ((closed_at IS NULL) = (closed_reason IS NULL)),
    CHECK (closed_reason IN ('merged', 'inactive', 'invalid', 'removed', 'dead', 'deleted')),
    CHECK (gender IN ('female', 'male', 'lgbt', 'lesbian', 'gay', 'bisexual', 'transgender', 'unknown')),
    CHECK (status IN ('active', 'suspended', 'archived'))
);
CREATE INDEX ON limit_cdp_profiles USING gin (identities);
CREATE INDEX ON limit_cdp_profiles (tenant_id, primary_email) WHERE (primary_email IS NOT NULL);
CREATE INDEX ON limit_cdp_profiles (tenant_id, primary_phone) WHERE (primary_phone IS NOT NULL);
CREATE INDEX ON limit_cdp_profiles (tenant_id, root_profile_id)
    WHERE ((root_profile_id IS NOT NULL) AND (root_profile_id <> profile_id));
CREATE INDEX ON limit_cdp_profiles USING gin (secondary_emails) WHERE (secondary_emails <> '[]'::jsonb);
CREATE INDEX ON limit_cdp_profiles USING gin (segments jsonb_path_ops);

CREATE TABLE limit_transactions (
    tenant_id text NOT NULL, line_id text NOT NULL, order_id text, profile_id text NOT NULL, product_id text,
    event_name text, amount numeric, currency text, quantity numeric, event_score double precision,
    total_event bigint, segment_ids jsonb NOT NULL, asset_group_ids jsonb NOT NULL, touchpoint_id text,
    occurred_at timestamptz, updated_at timestamptz, closed_reason text, closed_at timestamptz,
    document jsonb NOT NULL, document_hash bytea NOT NULL, synced_at timestamptz NOT NULL DEFAULT now(),
    revision text,
    PRIMARY KEY (tenant_id, line_id),
    CHECK ((closed_at IS NULL) = (closed_reason IS NULL)),
    CHECK (closed_reason = 'deleted'),
    CHECK (currency ~ '^[A-Z]{3}$')
);
CREATE INDEX ON limit_transactions (tenant_id, profile_id, occurred_at);
CREATE INDEX ON limit_transactions (tenant_id, occurred_at);
