-- What every room needs: the tenant context, the registry of tenants, watermarks, rejected records.

-- Whoever runs the platform is a member of this role. It owns nothing. Roles belong to the whole cluster, where another
-- warehouse may have made it already.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cdp_platform') THEN
        CREATE ROLE cdp_platform NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$;

GRANT USAGE ON SCHEMA ops TO cdp_platform;
GRANT SELECT ON ops.alembic_version TO cdp_platform;

-- The tenant that this transaction acts for. Unset or empty is NULL, and NULL equals no tenant: zero rows, no error.
CREATE FUNCTION ops.current_tenant() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('app.tenant_id', true), '');

-- Row-level security for one table of tenants, the same everywhere, for the owner too (FORCE).
CREATE FUNCTION ops.isolate_tenants(tenant_table regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tenant_table);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', tenant_table);
    EXECUTE format(
        'CREATE POLICY tenant_isolation ON %s USING (tenant_id = ops.current_tenant())'
        ' WITH CHECK (tenant_id = ops.current_tenant())', tenant_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO cdp_platform', tenant_table);
END
$$;
REVOKE EXECUTE ON FUNCTION ops.isolate_tenants FROM PUBLIC;

CREATE TABLE ops.tenant (
    tenant_id text PRIMARY KEY CHECK (tenant_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    name text NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'retired')),
    arango_database text NOT NULL,
    settings jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz
);
COMMENT ON TABLE ops.tenant IS 'One row per tenant; its id is also its Dagster partition.';
SELECT ops.isolate_tenants('ops.tenant');
REVOKE DELETE ON ops.tenant FROM cdp_platform;

-- Sensors have to know which tenants there are before they act for one. The list is the one thing that is read across
-- tenants, through this function alone; the tables stay closed.
CREATE POLICY registry ON ops.tenant FOR SELECT TO CURRENT_USER USING (true);
CREATE FUNCTION ops.registered_tenants() RETURNS SETOF ops.tenant
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT * FROM ops.tenant;
END;
REVOKE EXECUTE ON FUNCTION ops.registered_tenants FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.registered_tenants TO cdp_platform;

CREATE TABLE ops.sync_watermark (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    source text NOT NULL,
    database text,
    stamp text,
    document_key text,
    moved_at timestamptz NOT NULL DEFAULT now(),
    last_success_at timestamptz,
    source_count bigint,
    PRIMARY KEY (tenant_id, source)
);
COMMENT ON TABLE ops.sync_watermark IS 'One row per tenant and source: the greatest (stamp, key) that was read and landed.';
COMMENT ON COLUMN ops.sync_watermark.database IS 'Where the position is: in another database it means nothing.';
COMMENT ON COLUMN ops.sync_watermark.stamp IS 'As the source wrote it; never the clock of the platform.';
COMMENT ON COLUMN ops.sync_watermark.last_success_at IS 'When the source was last read to its end.';
SELECT ops.isolate_tenants('ops.sync_watermark');

CREATE TABLE ops.rejected_record (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    source text NOT NULL,
    document_key text NOT NULL,
    code text NOT NULL,
    path text NOT NULL,
    message text NOT NULL,
    document json NOT NULL,
    attempts int NOT NULL DEFAULT 1,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    PRIMARY KEY (tenant_id, source, document_key)
);
COMMENT ON TABLE ops.rejected_record IS 'One row per source document that could not be taken, with the reason and the document.';
COMMENT ON COLUMN ops.rejected_record.document IS 'json, not jsonb: keeps NUL characters and lone surrogates as the escapes they came as.';
CREATE INDEX rejected_record_waiting ON ops.rejected_record (tenant_id, source) WHERE resolved_at IS NULL;
SELECT ops.isolate_tenants('ops.rejected_record');
