-- The memory of sensors that look at the sources of tenants. It is not in their cursors, which Dagster stores at every tick and
-- which would grow with the number of tenants.
CREATE TABLE ops.source_look (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    sensor text NOT NULL,
    source text NOT NULL,
    seen jsonb,
    looked_at timestamptz,
    failed_looks int NOT NULL DEFAULT 0,
    reported_in text,
    waits boolean NOT NULL DEFAULT false,
    asked_in text,
    PRIMARY KEY (tenant_id, sensor, source)
);
COMMENT ON TABLE ops.source_look IS 'One row per tenant, sensor and source: what the sensor saw when it last looked at the source, and whether a run has to read it.';
COMMENT ON COLUMN ops.source_look.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN ops.source_look.sensor IS 'The name of the Dagster sensor.';
COMMENT ON COLUMN ops.source_look.source IS 'What is looked at: an ArangoDB database, an ingestor, or the tracker.';
COMMENT ON COLUMN ops.source_look.seen IS 'What the sensor compares with at its next look, such as the count and greatest timestamp of each collection; NULL before the first look.';
COMMENT ON COLUMN ops.source_look.looked_at IS 'When the tick began that last could read the source; NULL before the first look.';
COMMENT ON COLUMN ops.source_look.failed_looks IS 'How many looks have failed since.';
COMMENT ON COLUMN ops.source_look.reported_in IS 'The tick that reported a change to what is seen. While no later tick knows that Dagster took its result, the change is reported again. NULL once it is known.';
COMMENT ON COLUMN ops.source_look.waits IS 'Whether the source changed and a run has to read it.';
COMMENT ON COLUMN ops.source_look.asked_in IS 'The tick that asked for this run. While no later tick knows that Dagster took its result, the source goes on waiting.';
SELECT ops.isolate_tenants('ops.source_look');

-- A tick is about all tenants, and would take a transaction for each. So it reads and writes through these two functions.
CREATE POLICY looks ON ops.source_look TO CURRENT_USER USING (true) WITH CHECK (true);

CREATE FUNCTION ops.source_looks(of_sensor pg_catalog.text) RETURNS SETOF ops.source_look
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
    SELECT * FROM ops.source_look AS l WHERE l.sensor = of_sensor;
END;
REVOKE EXECUTE ON FUNCTION ops.source_looks FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.source_looks TO cdp_platform;

-- Store rows of a sensor, and delete those of sources that it no longer looks at.
CREATE FUNCTION ops.store_looks(of_sensor pg_catalog.text, looks pg_catalog.jsonb, gone pg_catalog.jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
    DELETE FROM ops.source_look AS l
    USING pg_catalog.jsonb_to_recordset(gone) AS g (tenant_id pg_catalog.text, source pg_catalog.text)
    WHERE l.sensor = of_sensor AND l.tenant_id = g.tenant_id AND l.source = g.source;
    INSERT INTO ops.source_look AS held
        (tenant_id, sensor, source, seen, looked_at, failed_looks, reported_in, waits, asked_in)
    SELECT n.tenant_id, of_sensor, n.source, n.seen, n.looked_at, n.failed_looks, n.reported_in, n.waits, n.asked_in
    FROM pg_catalog.jsonb_to_recordset(looks) AS n (
        tenant_id pg_catalog.text, source pg_catalog.text, seen pg_catalog.jsonb, looked_at pg_catalog.timestamptz,
        failed_looks int, reported_in pg_catalog.text, waits boolean, asked_in pg_catalog.text)
    ON CONFLICT (tenant_id, sensor, source) DO UPDATE SET
        seen = excluded.seen, looked_at = excluded.looked_at, failed_looks = excluded.failed_looks,
        reported_in = excluded.reported_in, waits = excluded.waits, asked_in = excluded.asked_in;
END;
REVOKE EXECUTE ON FUNCTION ops.store_looks FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.store_looks TO cdp_platform;
