-- What keeps a table in step with its source where no watermark can: which version of each document is here, and how the
-- comparisons of both sides went.

ALTER TABLE customers.cdp_profiles ADD COLUMN revision text;
ALTER TABLE customers.transactions ADD COLUMN revision text;
COMMENT ON COLUMN customers.cdp_profiles.revision IS 'The _rev that the document had when it was last loaded or compared.';
COMMENT ON COLUMN customers.transactions.revision IS 'The _rev that the document had when it was last loaded or compared.';
ALTER TABLE ops.rejected_record ADD COLUMN revision text;
COMMENT ON COLUMN ops.rejected_record.revision IS 'The _rev of the document that is kept.';

-- A foreign key costs a look-up for every row that is loaded, a tenth of the load. Rows come only by a tenant that was
-- looked up in the registry, and no tenant is ever deleted from it.
ALTER TABLE customers.cdp_profiles DROP CONSTRAINT cdp_profiles_tenant_id_fkey;
ALTER TABLE customers.transactions DROP CONSTRAINT transactions_tenant_id_fkey;
ALTER TABLE customers.customer_metrics DROP CONSTRAINT customer_metrics_tenant_id_fkey;

CREATE TABLE ops.reconciliation (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    source text NOT NULL,
    compared_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    source_count bigint NOT NULL,
    target_count bigint NOT NULL,
    source_checksum text NOT NULL,
    target_checksum text NOT NULL,
    missing bigint NOT NULL,
    changed bigint NOT NULL,
    gone bigint NOT NULL,
    closed bigint NOT NULL,
    PRIMARY KEY (tenant_id, source, compared_at)
);
COMMENT ON TABLE ops.reconciliation IS 'One row per comparison of a tenant''s source with its table, as both were in the end.';
COMMENT ON COLUMN ops.reconciliation.target_count IS 'Documents of the source that are here: as rows not closed as deleted, or waiting rejected.';
COMMENT ON COLUMN ops.reconciliation.source_checksum IS 'Exclusive or of the 64-bit hashes of all keys, in hex. Equal checksums: the same keys on both sides.';
COMMENT ON COLUMN ops.reconciliation.missing IS 'In the source, and not here before the comparison; they were read.';
COMMENT ON COLUMN ops.reconciliation.changed IS 'Here in another version before the comparison; they were read.';
COMMENT ON COLUMN ops.reconciliation.gone IS 'Here, and no longer in the source.';
COMMENT ON COLUMN ops.reconciliation.closed IS 'Those of gone that were closed; none where so many are gone that a person has to decide.';
SELECT ops.isolate_tenants('ops.reconciliation');
